package gate

import (
	"strings"

	"etcd-tlsproxy/acl"
)

// EtcdUsers says which of etcd's own users can act through the proxy.
type EtcdUsers int

const (
	// NoEtcdUser is the case if the proxy drops the credentials of clients.
	NoEtcdUser EtcdUsers = iota
	// EtcdRoot is the case if the proxy sends all requests as etcd's user root.
	EtcdRoot
	// EtcdClients is the case if the proxy forwards the credentials of clients.
	EtcdClients
)

// lockedOut reports whether an operation enables etcd's own users although none of them
// could disable them again through the proxy.
func (u EtcdUsers) lockedOut(op *Operation) bool {
	if op.Access != acl.Write || op.Method == MethodDelete {
		return false // deletion disables them
	}
	switch op.Surface {
	case Auth:
		return op.Path == "/v2/auth/enable" && u == NoEtcdUser
	case V3:
		// The users of the v3 API send a token that only a login returns.
		_, method, _ := strings.Cut(op.Path[1:], "/")
		return method == "auth/enable" && u != EtcdClients
	}
	return false
}

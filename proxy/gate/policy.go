package gate

import (
	"etcd-tlsproxy/acl"
	"etcd-tlsproxy/certs"
)

// Policy holds everything that the decision about a request depends on. It is immutable.
type Policy struct {
	// Rules is the table of key prefixes.
	Rules *acl.Rules
	// Users are the users with a password.
	Users *acl.Users
	// Waiting are users of the files whose passwords are not in force yet, because of a mistake
	// elsewhere in the files; nil if there are none.
	Waiting *acl.Users
	// Certs is this server's certificate and the CAs of its clients.
	Certs *certs.Generation
	// Surfaces lists who may use each surface that is closed by default. A surface that
	// is absent is open to no one.
	Surfaces map[Surface]acl.Group
	// EtcdUsers says which of etcd's own users can act through the proxy.
	EtcdUsers EtcdUsers
	// ReadOnly refuses everything but reads, to every client.
	ReadOnly bool
	// MaxTarget bounds a request target in bytes, both as received and as forwarded. An
	// etcd without TLS resets a new connection whose first line exceeds 4,096 bytes.
	MaxTarget int
}

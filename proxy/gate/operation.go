package gate

import "etcd-tlsproxy/acl"

// Request is a request as a lane has read it: nothing in it is trusted or decided. Its
// strings need to live only until the answer is complete.
type Request struct {
	Method string
	// Target is the request target in the client's spelling.
	Target string
	// Authorization is the value of the one Authorization field. A lane refuses a
	// request that has several.
	Authorization string
	// Upgrade is set if the client asks for another protocol in a request with a body. It
	// might send the body in that protocol. Without a body the wish is ignored, as HTTP
	// allows: some clients express it in every request.
	Upgrade bool
	Peer    *Peer

	// assumed replaces the client's identity in an explanation.
	assumed *Identity
}

// Operation is a request as the gate has understood it.
type Operation struct {
	// Method is one of GET, HEAD, PUT, POST, DELETE and OPTIONS.
	Method string
	// Target is what etcd is sent: the canonical path, re-encoded from its
	// segments, and the client's query.
	Target string
	// Path is the canonical path in Target.
	Path string
	// Surface is the part of etcd's port. Key is set on Keys.
	Surface Surface
	Key     acl.Key
	Access  acl.Access
	// Watch is set if etcd will not answer before something changes.
	Watch bool
	// Past is set for a watch with a waitIndex, whose event may exist already.
	Past bool
	// Shared is set if equal operations may be answered by one request to etcd: reads of
	// keys that end, and checks of etcd's health. Operations with the same Path and
	// SharedQuery are equal. A HEAD is answered by the same request as a GET.
	Shared      bool
	SharedQuery string
	// Proposal is set if etcd answers a read only when its members have agreed. Each write is a
	// proposal as well.
	Proposal bool
	// Tree is set if a read of a key includes all keys below it.
	Tree bool
	// Identity is the client's identity, if the decision depended on it. Login says how the
	// client was identified, or why it could not be.
	Identity Identity
	Login    Login
	// Claimed is the name that a client claimed without success. It is set only if a file
	// of users or a rule has this name.
	Claimed string
	// Rule is the prefix of the rule that decided on a key.
	Rule acl.Key
}

// IsWrite reports whether the operation needs the right to write.
func (op *Operation) IsWrite() bool { return op.Access == acl.Write }

// HasBody reports whether etcd reads the body of an operation. It ignores the bodies of
// reads and deletions. The proxy does not forward those, so that no other reader can
// understand them differently.
func (op *Operation) HasBody() bool {
	return op.IsWrite() && op.Method != MethodDelete
}

// ReceivedWhole reports whether an answer that is not too large is received whole before
// the client takes it. The answers of other surfaces may never end, and have to be
// passed on as they arrive.
func (op *Operation) ReceivedWhole() bool {
	return op.Surface == Keys || op.Surface == Members || op.Surface == Info
}

// The methods that the gate knows.
const (
	MethodGet     = "GET"
	MethodHead    = "HEAD"
	MethodPut     = "PUT"
	MethodPost    = "POST"
	MethodDelete  = "DELETE"
	MethodOptions = "OPTIONS"
)

var methods = [...]string{MethodGet, MethodHead, MethodPut, MethodPost, MethodDelete, MethodOptions}

// AllowedMethods is the value of the Allow field.
const AllowedMethods = "GET, HEAD, PUT, POST, DELETE, OPTIONS"

// KnownMethod reports whether m is one of them.
func KnownMethod(m string) bool { return knownMethod(m) != "" }

// knownMethod returns the method as a constant, which outlives the request, or "" if
// etcd's v2 API does not have it. The proxy itself answers OPTIONS.
func knownMethod(m string) string {
	for _, known := range methods {
		if m == known {
			return known
		}
	}
	return ""
}

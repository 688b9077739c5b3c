package presence

import "etcd-tlsproxy/proxy/v2v3/rpc"

// Full reports whether there is no session because the store is full, which refuses one.
func (n *Session) Full() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.full
}

// fail takes note of why there is no session.
func (n *Session) fail(err error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.failure = err
	if full := rpc.NoSpace(err); full != n.full {
		n.full = full
		close(n.begun)
		n.begun = make(chan struct{})
	}
}

// Failure returns why there is no session, or "" if that is not known.
func (n *Session) Failure() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.name != "" || n.failure == nil {
		return ""
	}
	return rpc.Reason(n.failure)
}

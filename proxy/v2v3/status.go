package v2v3

import (
	"context"
	"time"

	"etcd-tlsproxy/proxy/v2v3/members"
	"etcd-tlsproxy/proxy/v2v3/rpc"
)

// Status says how a store is.
type Status struct {
	// Endpoint is the member in use.
	Endpoint string `json:"endpoint"`
	// Serving means that plain reads are answered. Otherwise Reason says why not.
	Serving bool   `json:"serving"`
	Reason  string `json:"reason,omitempty"`
	// Behind is for how long there have been no events of etcd, in seconds; 0 if they are followed.
	Behind float64 `json:"behind_seconds"`
	// Revision is that of the newest event that was applied, and Index that of the tree.
	Revision int64  `json:"revision"`
	Index    uint64 `json:"index"`
	// Session means that this proxy has a session at etcd, which it needs for writes.
	Session bool `json:"session"`
	// Keeper means that this proxy expires nodes. ClocksApart is how many other proxies have a clock
	// that differs from its own then, and ClockDoubts counts how often it has left the place because
	// of its clock.
	Keeper      bool `json:"keeper"`
	ClocksApart int  `json:"clocks_apart"`
	ClockDoubts int  `json:"clock_doubts"`
	// Nodes, Foreign and Watches are numbers: of files and directories, of values of v3 clients in the
	// range of the tree, and of watches of clients.
	Nodes   int `json:"nodes"`
	Foreign int `json:"foreign"`
	Watches int `json:"watches"`
	// Bytes is about how much memory the tree and its history need.
	Bytes int `json:"bytes"`
	// LastAudit is when the tree was last compared with the store; zero if it was not yet.
	LastAudit time.Time `json:"last_audit"`
	// Audits counts the comparisons, and Differences those that found one.
	Audits      int `json:"audits"`
	Differences int `json:"differences"`
	// Loads counts how often the tree was loaded, and Conflicts how often a write had to be planned
	// again because the tree had changed.
	Loads     int64 `json:"loads"`
	Conflicts int64 `json:"conflicts"`
}

// Status returns how the store is.
func (s *Store) Status() Status {
	var st Status
	_, st.Endpoint = s.client.Endpoint()
	_, _, st.Session = s.session.Fence()
	st.Keeper = s.keeper.Keeps()
	st.ClocksApart, st.ClockDoubts = s.keeper.Clock()
	st.Loads, st.Conflicts = s.loads.Load(), s.conflicts.Load()
	s.audits.mu.Lock()
	st.LastAudit, st.Audits, st.Differences = s.audits.last, s.audits.done, s.audits.wrong
	s.audits.mu.Unlock()
	s.mu.RLock()
	defer s.mu.RUnlock()
	err := s.usable()
	if st.Serving = err == nil; err != nil {
		st.Reason = err.Reason
	}
	if !s.lost.IsZero() {
		st.Behind = time.Since(s.lost).Seconds()
	}
	st.Watches = s.watches()
	if m := s.m; m != nil {
		st.Revision, st.Index = m.Applied, m.Tree.Index()
		st.Nodes, st.Foreign, st.Bytes = m.Tree.Len(), len(m.Foreign), m.Tree.Bytes()+m.History.Bytes()+m.RenderedBytes()
	}
	return st
}

// Statistics returns the body of /v2/stats/store. Events are those of all proxies since the tree was loaded;
// reads, failures and watchers are those of this one.
func (s *Store) Statistics() []byte {
	s.mu.RLock()
	watchers := s.watches()
	s.mu.RUnlock()
	return s.counts.Store(watchers)
}

// Member is a member of the cluster.
type Member = members.Member

// MemberList returns the members in the order of their ids, as the endpoint in use knows them. The
// error is always an [Error].
func (s *Store) MemberList(ctx context.Context) ([]Member, error) {
	ctx, cancel := context.WithTimeout(ctx, s.o.Timeout)
	defer cancel()
	list, err := members.List(ctx, s.client)
	if err != nil {
		return nil, &Error{Kind: NotServed, Reason: rpc.Reason(err)}
	}
	return list, nil
}

// Reply is an answer about members.
type Reply = members.Reply

// NotAllowed returns etcd's answer to a method that a path does not have, with those that it has.
func NotAllowed(methods string) Reply { return members.NotAllowed(methods) }

// Members answers a request about members. The path is the decoded one behind /v2/members. The error
// is always an [Error].
func (s *Store) Members(ctx context.Context, method, path, contentType string, body []byte) (Reply, error) {
	ctx, cancel := context.WithTimeout(ctx, s.o.Timeout)
	defer cancel()
	reply, err := members.Serve(ctx, s.client, &members.Request{Method: method, Path: path, ContentType: contentType, Body: body})
	if err == nil {
		return reply, nil
	}
	if method == "GET" {
		return Reply{}, &Error{Kind: NotServed, Reason: rpc.Reason(err)}
	}
	return Reply{}, &Error{Kind: UnknownOutcome, Reason: rpc.Reason(err)}
}

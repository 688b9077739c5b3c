package v2v3

import (
	"cmp"
	"context"
	"errors"
	"sync/atomic"
	"time"

	"etcd-tlsproxy/proxy/v2store"
	"etcd-tlsproxy/proxy/v2v3/layout"
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
	// ReadOnly says why this program must not write the tree: it is too old for it. Otherwise it is "".
	ReadOnly string `json:"read_only,omitempty"`
	// Behind is for how long there have been no events of etcd, in seconds; 0 if they are followed.
	Behind float64 `json:"behind_seconds"`
	// BehindRevisions is how many revisions etcd has shown that were not applied yet.
	BehindRevisions int64 `json:"behind_revisions"`
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
	// KeeperName is the machine of the keeper, or its session if it does not tell; "" if there is none.
	// KeeperSince is when it was elected, by its own clock. NoKeeperSince is since when there has been
	// none; zero if there is one.
	KeeperName    string    `json:"keeper_name"`
	KeeperSince   time.Time `json:"keeper_since"`
	NoKeeperSince time.Time `json:"no_keeper_since"`
	// Expired counts the nodes that this proxy has expired. Late is for how long the node that is due
	// first has been due, in seconds.
	Expired int64   `json:"expired"`
	Late    float64 `json:"late_seconds"`
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
	// Mended counts the differences after which the tree was loaded again. Difference is the last one,
	// and Differed when it was found.
	Mended     int       `json:"mended"`
	Difference string    `json:"difference"`
	Differed   time.Time `json:"differed_at"`
	// Loads counts how often the tree was loaded, and Conflicts how often a write had to be planned
	// again because the tree had changed.
	Loads     int64 `json:"loads"`
	Conflicts int64 `json:"conflicts"`
	// BarrierWaits counts the refusals and the quorum reads that waited until the mirror was as fresh as the
	// store, and BarrierSeconds is the sum of their waits. BarrierReads counts the reads that they shared.
	BarrierWaits   int64   `json:"barrier_waits"`
	BarrierSeconds float64 `json:"barrier_seconds"`
	BarrierReads   int64   `json:"barrier_reads"`
	// Fences counts the attempts to put the key of the session again: behind writes whose response was
	// lost, and for a new keeper. The others count what became of such writes: they were executed, or
	// not, or that is unknown.
	Fences          int64 `json:"fences"`
	LostExecuted    int64 `json:"lost_executed"`
	LostNotExecuted int64 `json:"lost_not_executed"`
	LostUnknown     int64 `json:"lost_unknown"`
	// Compacted is the revision up to which this proxy has compacted the history of etcd, and CompactedAt
	// when it did; zero if it did not. NotCompactedSince is since when it cannot, as the keeper.
	Compacted         int64     `json:"compacted_revision"`
	CompactedAt       time.Time `json:"compacted_at"`
	NotCompactedSince time.Time `json:"not_compacted_since"`
	// FileBytes is the size of the file of the member in use, UsedBytes the part of it that holds data, and
	// QuotaBytes the size at which etcd refuses writes. QuotaPercent is how much of that the file is.
	FileBytes    int64   `json:"file_bytes"`
	UsedBytes    int64   `json:"used_bytes"`
	QuotaBytes   int64   `json:"quota_bytes"`
	QuotaPercent float64 `json:"quota_percent"`
	// Alarm is "none", "no space" or "corrupt"; "" if it is not known.
	Alarm string `json:"alarm"`
}

// settled counts what became of writes whose response was lost.
type settled struct{ executed, notExecuted, unknown atomic.Int64 }

func (n *settled) count(e *v2store.Event, err error) {
	switch {
	case e != nil:
		n.executed.Add(1)
	case errors.Is(err, errNotExecuted):
		n.notExecuted.Add(1)
	default:
		n.unknown.Add(1)
	}
}

// Status returns how the store is.
func (s *Store) Status() Status {
	var st Status
	_, st.Endpoint = s.client.Endpoint()
	_, _, st.Session = s.session.Fence()
	st.Loads, st.Conflicts, st.Expired = s.loads.Load(), s.conflicts.Load(), s.expired.Load()
	st.BarrierWaits, st.BarrierReads = s.barrier.waits.Load(), s.barrier.reads.Load()
	st.BarrierSeconds = time.Duration(s.barrier.waited.Load()).Seconds()
	st.Fences = s.session.Fences()
	st.LostExecuted, st.LostNotExecuted, st.LostUnknown = s.settled.executed.Load(), s.settled.notExecuted.Load(), s.settled.unknown.Load()
	newest, _ := s.seen.newest()
	s.audits.tell(&st)
	s.tellSpace(&st)
	s.mu.RLock()
	defer s.mu.RUnlock()
	err := s.usable()
	if st.Serving = err == nil; err != nil {
		st.Reason = err.Reason
	}
	st.ReadOnly = s.readOnly
	if !s.lost.IsZero() {
		st.Behind = time.Since(s.lost).Seconds()
	}
	st.Watches = s.watches()
	if m := s.m; m != nil {
		st.Revision, st.Index = m.Applied, m.Tree.Index()
		st.BehindRevisions = max(0, newest-m.Applied)
		st.Nodes, st.Foreign, st.Bytes = m.Tree.Len(), len(m.Foreign), m.Tree.Bytes()+m.History.Bytes()+m.RenderedBytes()
	}
	s.tellKeeper(&st)
	return st
}

// tellSpace says how full the store is.
func (s *Store) tellSpace(st *Status) {
	size, at := s.space.Size()
	st.FileBytes, st.UsedBytes, st.QuotaBytes = size.File, size.InUse, size.Quota
	if st.QuotaBytes > 0 {
		st.QuotaPercent = 100 * float64(st.FileBytes) / float64(st.QuotaBytes)
	}
	switch {
	case size.NoSpace:
		st.Alarm = "no space"
	case size.Corrupt:
		st.Alarm = "corrupt"
	case !at.IsZero():
		st.Alarm = "none"
	}
}

// Heard returns when the last response of etcd about the events of the store came; they come each
// second as long as it answers. It is a long time ago if none came yet.
func (s *Store) Heard() time.Time { return time.Unix(0, s.heard.Load()) }

// tellKeeper says who expires nodes. The caller holds the lock for reading.
func (s *Store) tellKeeper(st *Status) {
	st.Keeper, st.NoKeeperSince = s.keeper.Keeps(), s.keeper.VacantSince()
	st.ClocksApart, st.ClockDoubts = s.keeper.Clock()
	s.compaction.tell(st)
	if s.m == nil {
		return
	}
	if next := s.m.Tree.NextExpiry(); next != 0 {
		st.Late = max(0, s.o.Now().Sub(time.Unix(0, next)).Seconds())
	}
	kv := s.m.Control[string(s.keys.Keeper())]
	if kv == nil {
		return
	}
	if p, err := layout.DecodePresence(kv.Value); err == nil {
		st.KeeperName, st.KeeperSince = cmp.Or(p.Host, p.Session), time.Unix(0, p.Time).UTC()
	}
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

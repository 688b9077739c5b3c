package v2v3

import (
	"sync"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
)

// maxBehind is how long the stream of events may be behind a revision that another response has
// shown. A partitioned member goes on to answer requests for progress.
const maxBehind = time.Second

// seen is the newest revision of the tree that a response has shown.
type seen struct {
	mu       sync.Mutex
	revision int64
	endpoint int // which showed it
}

// show takes note of a revision that the stream of events must show too.
func (n *seen) show(revision int64, endpoint int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if revision > n.revision {
		n.revision, n.endpoint = revision, endpoint
	}
}

// newest returns the newest revision and the endpoint that showed it.
func (n *seen) newest() (revision int64, endpoint int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.revision, n.endpoint
}

// bound takes note of a linearizable read: what is beyond its revision was of another past.
func (n *seen) bound(revision int64) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.revision = min(n.revision, revision)
}

// lag is how far the stream of events is behind. It is counted in ticks of the heartbeat.
type lag struct {
	since int   // ticks; 0 if it is not behind
	idle  int64 // the responses without events when it fell behind
}

// tooLong reports, once in each tick, whether the stream has been behind for too long. Large
// events may take as long as they need: etcd sends them before its answer to a later
// heartbeat. So the stream is only behind if it is idle.
func (l *lag) tooLong(upToDate bool, idle int64) bool {
	switch {
	case upToDate:
		*l = lag{}
	case l.since == 0:
		*l = lag{1, idle}
	default:
		l.since++
	}
	// The first idle response may answer a heartbeat from before.
	return l.since > int(maxBehind/tick) && idle > l.idle+1
}

// forget makes all revisions unseen. They were of another past.
func (n *seen) forget() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.revision = 0
}

// header takes note of the head of a response.
func (s *Store) header(h *pb.ResponseHeader) {
	s.term.Store(h.RaftTerm)
	for {
		old := s.revision.Load()
		if h.Revision <= old || s.revision.CompareAndSwap(old, h.Revision) {
			return
		}
	}
}

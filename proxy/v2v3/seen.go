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

package v2v3

import (
	"context"
	"fmt"
	"sync"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"

	"etcd-tlsproxy/proxy/v2v3/mirror"
)

const (
	// auditEvery is how often the mirror is compared with the store. Etcd has lost events of
	// watches in the past, at compactions.
	auditEvery = 10 * time.Minute
	// auditSoon is how often that is done while there is a reason to doubt: clients of v3 have changed
	// nodes of the tree, or a write was refused that the mirror allows.
	auditSoon = time.Minute
)

// audits are the comparisons of the mirror with the store.
type audits struct {
	mu          sync.Mutex
	last        time.Time
	done, wrong int
	// difference is the last one that was found, at a time. mended counts those after which the tree
	// was loaded again, and mending means that this is under way.
	difference string
	differed   time.Time
	mended     int
	mending    bool
}

// found takes note of the result of a comparison.
func (a *audits) found(difference string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.done++
	a.last = time.Now()
	if difference != "" {
		a.wrong++
		a.difference, a.differed, a.mending = difference, a.last, true
	}
}

func (a *audits) tell(st *Status) {
	a.mu.Lock()
	defer a.mu.Unlock()
	st.LastAudit, st.Audits, st.Differences = a.last, a.done, a.wrong
	st.Mended, st.Difference, st.Differed = a.mended, a.difference, a.differed
}

// loaded takes note that the tree was loaded.
func (a *audits) loaded() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.mending {
		a.mending = false
		a.mended++
	}
}

// auditor compares from time to time.
func (s *Store) auditor() {
	tick := time.NewTicker(auditSoon)
	defer tick.Stop()
	for soon := 1; ; soon++ {
		select {
		case <-s.ctx.Done():
			return
		case <-tick.C:
		}
		if soon < int(auditEvery/auditSoon) && !s.doubtful() {
			continue
		}
		soon = 0
		if _, err := s.audit(s.ctx); err != nil {
			s.o.Log.Info("the tree in memory could not be compared with the store", "error", err)
		}
	}
}

// doubtful reports whether there is a reason to doubt the mirror.
func (s *Store) doubtful() bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.m != nil && s.m.Doubtful
}

// audit compares the mirror with the store at one revision. If they differ, the mirror is loaded
// again. It returns the difference, or "".
func (s *Store) audit(ctx context.Context) (string, error) {
	s.mu.Lock()
	if err := s.usable(); err != nil {
		s.mu.Unlock()
		return "", err
	}
	m := s.m
	size := m.Tree.Bytes()
	c := m.StartComparison()
	doubtful := m.Doubtful
	m.Doubtful = false
	s.mu.Unlock()
	s.tellSize(size)
	defer func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		c.Stop()
	}()
	start, end := s.keys.Range()
	err := s.pages(ctx, &pb.RangeRequest{Key: start, RangeEnd: end, Revision: c.Revision, KeysOnly: true}, func(kvs []*mvccpb.KeyValue) error {
		s.mu.RLock()
		defer s.mu.RUnlock()
		c.Compare(kvs)
		return nil
	})
	if err != nil {
		s.mu.Lock()
		defer s.mu.Unlock()
		m.Doubtful = m.Doubtful || doubtful
		return "", err
	}
	difference := c.Difference()
	s.audits.found(difference)
	if difference != "" {
		s.reload(m, "the audit found a difference: "+difference)
	}
	return difference, nil
}

// reload makes a mirror unusable and has it loaded again.
func (s *Store) reload(m *mirror.Mirror, reason string) {
	s.mu.Lock()
	end, current := s.end, s.m == m
	if current {
		s.reason = reason
		// The events that lead to this tree do not lead to that of the store.
		s.pastFailures = maxPastFailures
	}
	s.mu.Unlock()
	if current {
		end(fmt.Errorf("%w: %s", errRebuild, reason))
	}
}

package v2v3

import (
	"context"
	"fmt"
	"sync"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"

	"etcd-tlsproxy/proxy/v2v3/layout"
	"etcd-tlsproxy/proxy/v2v3/rpc"
)

const (
	// auditEvery is how often the mirror is compared with the store. Etcd has lost events of
	// watches in the past, at compactions.
	auditEvery = 10 * time.Minute
	// auditSoon is how often that is done while clients of v3 change the nodes of the tree.
	auditSoon = time.Minute
)

// audits are the comparisons of the mirror with the store.
type audits struct {
	mu          sync.Mutex
	last        time.Time
	done, wrong int
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

// doubtful reports whether a client of v3 has changed a node.
func (s *Store) doubtful() bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.m != nil && s.m.doubtful
}

// audit compares the mirror with the store at one revision. If they differ, the mirror is loaded
// again. It returns the difference, or "".
func (s *Store) audit(ctx context.Context) (string, error) {
	a, err := s.beginAudit()
	if err != nil {
		return "", err
	}
	defer a.finish()
	start, end := s.keys.Range()
	for limit := int64(maxPage); a.difference == ""; {
		page, cancel := context.WithTimeout(ctx, s.o.Timeout)
		answer, err := s.client.Range(page, &pb.RangeRequest{Key: start, RangeEnd: end, Revision: a.revision, Limit: limit,
			Serializable: true, KeysOnly: true})
		cancel()
		if err != nil {
			return "", fmt.Errorf("reading the keys of the tree: %s", rpc.Reason(err))
		}
		a.compare(answer.Kvs)
		if !answer.More || len(answer.Kvs) == 0 {
			break
		}
		start = append(answer.Kvs[len(answer.Kvs)-1].Key, 0)
	}
	return a.verdict(), nil
}

// comparison is one audit.
type comparison struct {
	s        *Store
	m        *mirror
	revision int64
	log      int64 // the revision of the last event
	// nodes is the number of nodes of the mirror at the revision, with those that were left out.
	nodes int
	// records, files and values count what the store has.
	records, files, values int
	difference             string
}

func (s *Store) beginAudit() (*comparison, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.usable(); err != nil {
		return nil, err
	}
	m := s.m
	m.touched = map[string]struct{}{}
	return &comparison{s: s, m: m, revision: m.applied, log: m.logRevision, nodes: m.tree.Len() + len(m.broken)}, nil
}

// finish ends the recording of changes.
func (a *comparison) finish() {
	a.s.mu.Lock()
	defer a.s.mu.Unlock()
	a.m.touched = nil
}

func (a *comparison) compare(kvs []*mvccpb.KeyValue) {
	a.s.mu.RLock()
	defer a.s.mu.RUnlock()
	for _, kv := range kvs {
		kind, key := a.m.keys.Parse(kv.Key)
		switch kind {
		case layout.Dir, layout.File:
			a.record(kind == layout.Dir, key, kv.ModRevision)
		case layout.Data:
			a.value(key, kv.ModRevision)
		case layout.Log:
			if kv.ModRevision != a.log {
				a.differs("the last event is another one in the store", string(kv.Key))
			}
		}
	}
}

// unsure reports whether a key cannot be compared, because it has changed since, or because it was
// left out.
func (a *comparison) unsure(key string) bool {
	_, touched := a.m.touched[key]
	_, broken := a.m.broken[key]
	return touched || broken
}

func (a *comparison) record(dir bool, key string, revision int64) {
	a.records++
	if _, broken := a.m.broken[key]; !dir && !broken {
		a.files++
	}
	index, isDir, found := a.m.tree.Recorded(key)
	if (!found || isDir != dir || index != a.m.meta.Index(revision)) && !a.unsure(key) {
		a.differs("the record of a node is another one in the store", key)
	}
}

func (a *comparison) value(key string, revision int64) {
	index, dir, found := a.m.tree.Recorded(key)
	_, foreign := a.m.foreign[key]
	switch {
	case a.unsure(key):
		a.values++ // it counts as right
	case found && !dir:
		a.values++
		if a.m.meta.Index(revision) > index && a.m.overwrites[key] != revision {
			a.differs("the value of a file was changed by a client of v3", key)
		}
	case !foreign:
		a.differs("the store has a value that the mirror does not know", key)
	}
}

func (a *comparison) differs(what, key string) {
	if a.difference == "" {
		a.difference = fmt.Sprintf("%s: %q", what, key)
	}
}

// verdict counts the audit, and has the mirror loaded again if it is wrong.
func (a *comparison) verdict() string {
	s := a.s
	if a.difference == "" && a.records != a.nodes {
		a.difference = fmt.Sprintf("the mirror has %d nodes, and the store %d", a.nodes, a.records)
	}
	if a.difference == "" && a.values < a.files {
		a.difference = fmt.Sprintf("the store has %d files, and values of %d", a.files, a.values)
	}
	s.audits.mu.Lock()
	s.audits.done++
	s.audits.last = time.Now()
	if a.difference != "" {
		s.audits.wrong++
	}
	s.audits.mu.Unlock()
	if a.difference != "" {
		s.reload(a.m, "the audit found a difference: "+a.difference)
	}
	return a.difference
}

// reload makes a mirror unusable and has it loaded again.
func (s *Store) reload(m *mirror, reason string) {
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

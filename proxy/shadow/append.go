package shadow

import (
	"errors"
	"fmt"
	"time"

	"etcd-tlsproxy/proxy/v2store"
	"etcd-tlsproxy/proxy/v2v3"
	"etcd-tlsproxy/proxy/v2v3/mirror"
)

// lookPeriod is how often to look whether this proxy is to append.
const lookPeriod = 100 * time.Millisecond

// appendAll appends the events, whenever this proxy is the one that does.
func (s *Shadow) appendAll() {
	var skipped uint64 // of an event that changes nothing
	of := ""
	for s.ctx.Err() == nil {
		index, generation, ok := s.at()
		if generation != of {
			skipped, of = 0, generation
		}
		var e *event
		if ok && s.store.Keeps() {
			e = s.reader.first(max(index, skipped))
		}
		if e == nil || e.after > max(index, skipped) { // the reader goes back for what is missing
			select {
			case <-s.ctx.Done():
			case <-s.reader.changed:
			case <-time.After(lookPeriod):
			}
			continue
		}
		err := s.append(e)
		switch {
		case err == nil:
			s.fail("")
		case errors.Is(err, v2v3.ErrNothing):
			skipped = e.index
		case errors.Is(err, v2v3.ErrTooLarge):
			s.lose(fmt.Sprintf("the event at the index %d, of %q, does not fit in a transaction of etcd's v3 API", e.index, e.node.Key))
		case errors.Is(err, v2v3.ErrChanged):
		default:
			s.fail(err.Error())
			s.pause(retryPeriod)
		}
	}
}

// append makes the tree what an event says, in as many changes as are necessary: the parents that it makes are
// made before, because they have its index too.
func (s *Shadow) append(e *event) error {
	for {
		last := false
		err := s.store.Append(s.ctx, func(m *mirror.Mirror) (*v2store.Change, string) {
			c, end, misfit := e.step(m)
			if misfit != "" {
				s.counts.differs(Difference{Kind: Nodes, Key: e.node.Key, What: fmt.Sprintf("before the event at the index %d %s", e.index, misfit)}, s.o.Log)
			}
			last = end
			return c, originOf(e.index, !end)
		})
		if err != nil || last {
			return err
		}
	}
}

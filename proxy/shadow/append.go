package shadow

import (
	"errors"
	"fmt"
	"time"

	"etcd-tlsproxy/proxy/v2v3"
	"etcd-tlsproxy/proxy/v2v3/layout"
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
		var waiting []*event
		if ok && s.store.Keeps() {
			waiting = s.reader.first(max(index, skipped))
		}
		if len(waiting) == 0 || waiting[0].after > max(index, skipped) { // the reader goes back for what is missing
			select {
			case <-s.ctx.Done():
			case <-s.reader.changed:
			case <-time.After(lookPeriod):
			}
			continue
		}
		err := s.append(waiting)
		switch {
		case err == nil:
			s.fail(&s.failure, "")
		case errors.Is(err, v2v3.ErrNothing):
			skipped = waiting[0].index
		case errors.Is(err, v2v3.ErrTooLarge):
			s.lose(fmt.Sprintf("the event at the index %d, of %q, does not fit in a transaction of etcd's v3 API", waiting[0].index, waiting[0].node.Key))
		case errors.Is(err, v2v3.ErrChanged):
		default:
			s.fail(&s.failure, err.Error())
			s.pause(retryPeriod)
		}
	}
}

// append makes the tree what the first events say: as many as one transaction can apply.
func (s *Shadow) append(waiting []*event) error {
	var b *batch
	err := s.store.Append(s.ctx, func(m *mirror.Mirror) ([]layout.Batched, string) {
		b = newBatch(m.Tree)
		last := uint64(0)
		for i, e := range waiting {
			if i > 0 && e.after > waiting[i-1].index || !b.add(e) {
				break
			}
			last = e.index
		}
		return b.list, originOf(last)
	})
	if b != nil && (err == nil || errors.Is(err, v2v3.ErrNothing)) {
		for _, of := range b.misfits {
			s.counts.differs(Difference{Kind: Nodes, Key: of.key, What: of.what}, s.o.Log)
		}
	}
	return err
}

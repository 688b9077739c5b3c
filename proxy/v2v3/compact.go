package v2v3

import (
	"context"
	"log/slog"
	"sync"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"etcd-tlsproxy/proxy/v2store"
	"etcd-tlsproxy/proxy/v2v3/layout"
	"etcd-tlsproxy/proxy/v2v3/rpc"
	"etcd-tlsproxy/proxy/v2v3/space"
)

const (
	// compactPeriod is how often old revisions are forgotten, and sizePeriod is how often the
	// size of the store is checked: a client that writes large values fills the default quota in
	// minutes.
	compactPeriod = 5 * time.Minute
	sizePeriod    = 20 * time.Second
	// keptEvents and keptTime say what is kept, the longer of them. A proxy that was away less misses
	// nothing.
	keptEvents = 20_000
	keptTime   = 10 * time.Minute
	// growthShare is the part of the quota, as a divisor, after which a store that is large is compacted
	// at once.
	growthShare = 16
)

// compaction is when the keeper does what.
type compaction struct {
	checked, compacted time.Time
	// events and age are keptEvents and keptTime.
	events int64
	age    time.Duration
	// least is the smallest size since the last check, of what is in use.
	least int64

	// The lock guards what follows, which others read.
	mu       sync.Mutex
	revision int64     // up to which the keeper has compacted
	done     time.Time // when it has compacted last
	failing  time.Time // since when it cannot; zero if the last attempt succeeded
}

// due reports whether it is time for a check, and takes note of it. A store that is large and grows fast must be
// compacted before clients are refused.
func (c *compaction) due(size rpc.Size, now time.Time) bool {
	c.least = min(c.least, size.InUse)
	grown := isLarge(size) && size.InUse > c.least+size.Quota/growthShare
	if !grown && now.Sub(c.checked) < sizePeriod {
		return false
	}
	c.checked, c.least = now, size.InUse
	return true
}

// attempted takes note of an attempt, and logs when the attempts begin to fail.
func (c *compaction) attempted(err error, log *slog.Logger) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case err == nil:
		c.failing = time.Time{}
	case c.failing.IsZero():
		c.failing = time.Now()
		log.Warn("the history of the store is not compacted", "error", rpc.Reason(err))
	}
}

func (c *compaction) tell(st *Status) {
	c.mu.Lock()
	defer c.mu.Unlock()
	st.Compacted, st.CompactedAt = c.revision, c.done
	if st.Keeper { // otherwise it is the business of another one
		st.NotCompactedSince = c.failing
	}
}

// Compact implements [presence.Tree].
func (k keeping) Compact(ctx context.Context) {
	s := k.s
	c := &s.compaction
	size, _ := s.space.Size()
	if now := time.Now(); s.o.Compact && c.due(size, now) {
		c.attempted(s.compact(ctx, now), s.o.Log)
	}
}

// compact forgets revisions if it is time to do so.
func (s *Store) compact(ctx context.Context, now time.Time) error {
	c := &s.compaction
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	size, err := s.measure(ctx)
	if err != nil {
		return err
	}
	full := isLarge(size)
	if !full && now.Sub(c.compacted) < compactPeriod {
		return nil
	}
	st, err := s.readState(ctx)
	if err != nil {
		return err
	}
	revision, err := s.compactable(ctx, st, full, now)
	if err != nil {
		return err
	}
	if revision > c.revision {
		if _, err := s.client.Compact(ctx, &pb.CompactionRequest{Revision: revision}); err != nil && !rpc.Compacted(err) {
			return err
		}
		c.mu.Lock()
		c.revision, c.done = revision, now
		c.mu.Unlock()
		s.o.Log.Info("the history of the store was compacted", "revision", revision, "bytes", size.InUse)
	}
	c.compacted = now
	return nil
}

// compactable returns the revision up to which to compact, or 0. Its own events are kept: those
// that follow it are the last ones.
func (s *Store) compactable(ctx context.Context, st *state, full bool, now time.Time) (int64, error) {
	if full {
		return s.eventsAgo(ctx, st, maxPast)
	}
	for events := s.compaction.events; ; events *= 2 {
		revision, err := s.eventsAgo(ctx, st, events)
		if revision == 0 || err != nil {
			return 0, err
		}
		log, err := s.at(ctx, s.keys.Log(), revision)
		if err != nil || log == nil {
			return 0, err
		}
		entry, err := layout.DecodeEntry(log.Value)
		if err != nil || now.UnixNano()-entry.Time >= int64(s.compaction.age) {
			return revision, err
		}
	}
}

// eventsAgo returns the revision that is a number of events ago, or 0 if there are not so many.
func (s *Store) eventsAgo(ctx context.Context, st *state, events int64) (int64, error) {
	if st.log.Version <= events {
		return 0, nil
	}
	return s.pastRevision(ctx, st, events)
}

// settleFull finds out what became of a write that was answered with the error that there is no space.
// Etcd checks the space when it takes a transaction, and again when it executes it. In the second case the
// error means that it is full now, and the transaction was executed. Nothing is under way any more.
func (s *Store) settleFull(ctx context.Context, p *proposal, full error) (*v2store.Event, error) {
	if e, err := s.conclude(p, full, s.barrier.wait(ctx)); e != nil || err != nil {
		return e, err
	}
	return nil, raftError(rpc.Reason(full), s.index())
}

// measurer finds out from time to time how large the store is: each second while that matters, and as soon
// as much was written.
func (s *Store) measurer() {
	for wait := time.Duration(0); ; {
		select {
		case <-s.ctx.Done():
			return
		case <-time.After(wait):
		case <-s.grown:
		}
		ctx, cancel := context.WithTimeout(s.ctx, readTimeout)
		wait = sizePeriod
		if size, err := s.measure(ctx); err != nil || size.NoSpace || isLarge(size) {
			wait = heartbeat
		}
		cancel()
	}
}

// isLarge reports whether only the history of v2 is kept.
func isLarge(size rpc.Size) bool { return size.Quota > 0 && size.InUse > size.Quota/space.CompactShare }

// measure asks the member in use how large its store is. The quota is that of the options if etcd
// does not tell.
func (s *Store) measure(ctx context.Context) (rpc.Size, error) {
	size, err := s.client.Size(ctx)
	if err != nil {
		return size, err
	}
	if size.Quota == 0 {
		size.Quota = s.o.QuotaBytes
	}
	s.space.Measured(size, time.Now(), s.o.Log)
	return size, nil
}

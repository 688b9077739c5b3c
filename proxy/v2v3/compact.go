package v2v3

import (
	"context"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"etcd-tlsproxy/proxy/v2v3/layout"
	"etcd-tlsproxy/proxy/v2v3/rpc"
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
	// compactShare is the part of the quota above which only the history of v2 is kept. The
	// quota counts the file, which a compaction does not shrink.
	compactShare = 4
)

// compaction is when the keeper does what.
type compaction struct {
	checked, compacted time.Time
	revision           int64 // up to which the keeper has compacted
	// events and age are keptEvents and keptTime.
	events int64
	age    time.Duration
}

// Compact implements [presence.Tree].
func (k keeping) Compact(ctx context.Context) {
	s := k.s
	c := &s.compaction
	if now := time.Now(); s.o.Compact && now.Sub(c.checked) >= sizePeriod {
		c.checked = now
		if err := s.compact(ctx, now); err != nil {
			s.o.Log.Warn("the history of the store was not compacted", "error", rpc.Reason(err))
		}
	}
}

// compact forgets revisions if it is time to do so.
func (s *Store) compact(ctx context.Context, now time.Time) error {
	c := &s.compaction
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	status, err := s.client.Maintenance().Status(ctx, &pb.StatusRequest{})
	if err != nil {
		return err
	}
	full := s.o.QuotaBytes > 0 && status.DbSizeInUse > s.o.QuotaBytes/compactShare
	if !full && now.Sub(c.compacted) < compactPeriod {
		return nil
	}
	c.compacted = now
	st, err := s.readState(ctx)
	if err != nil {
		return err
	}
	revision, err := s.compactable(ctx, st, full, now)
	if err != nil || revision <= c.revision {
		return err
	}
	if _, err := s.client.Compact(ctx, &pb.CompactionRequest{Revision: revision}); err != nil && !rpc.Compacted(err) {
		return err
	}
	c.revision = revision
	s.o.Log.Info("the history of the store was compacted", "revision", revision, "bytes", status.DbSizeInUse)
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

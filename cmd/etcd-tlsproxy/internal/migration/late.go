package migration

import (
	"context"
	"time"

	"etcd-tlsproxy/proxy/v2v3/layout"
)

// lateEvery is how often the v2 store is looked at after a switch.
const lateEvery = 5 * time.Second

// WatchLate watches the v2 store after a switch until ctx ends, and reports each key that somebody writes or removes
// there: nobody reads it any more. It also ends when another command works on the tree, or has: that may write there, and
// let clients do so. It returns how many there were.
func (w *Switch) WatchLate(ctx context.Context, moved *Content, report func(key string)) (late int) {
	ticker := time.NewTicker(lateEvery)
	defer ticker.Stop()
	for last, failing := moved, false; ; {
		found, err := w.late(ctx, &last)
		if moved, unknown := w.movedOn(ctx); unknown == nil && moved { // perhaps what was found is of that command
			w.Note("another command works on the tree, so that the v2 store is not watched any more")
			return late
		}
		switch {
		case ctx.Err() != nil:
			return late
		case err != nil && !failing:
			w.Note("the v2 store cannot be looked at: " + err.Error())
		}
		failing = err != nil
		for _, key := range found {
			report(key)
		}
		late += len(found)
		select {
		case <-ctx.Done():
			return late
		case <-ticker.C:
		}
	}
}

// late returns the keys that were written or removed in the v2 store since it was read last. Nodes go on
// expiring there.
func (w *Switch) late(ctx context.Context, last **Content) (keys []string, err error) {
	if behind, err := w.Since(ctx, *last); err != nil || behind == 0 {
		return nil, err
	}
	now, err := w.Take(ctx)
	if err != nil {
		return nil, err
	}
	put, gone := changes((*last).records, now.records)
	*last = now
	for _, r := range put {
		keys = append(keys, r.Key)
	}
	return append(keys, unexpired(gone, time.Now())...), nil
}

// movedOn reports whether another command works on the tree that the switch has made, or has moved the keys again.
func (w *Switch) movedOn(ctx context.Context) (bool, error) {
	s, err := open(ctx, &w.Store, layout.Live, layout.Frozen, layout.Unfinished, layout.Rehearsal)
	if err != nil {
		return false, err
	}
	defer s.client.Close()
	if s.found == nil || s.found.Generation != w.generation || s.found.State != layout.Live {
		return true, nil
	}
	free := false
	err = s.call(ctx, func(ctx context.Context) (err error) {
		free, err = s.compare(ctx, 0, s.meta)
		return err
	})
	return !free, err
}

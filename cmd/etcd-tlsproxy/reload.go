package main

import (
	"context"
	"maps"
	"os"
	"sync"
	"time"

	"etcd-tlsproxy/proxy"
)

// reloader takes changed files over.
type reloader struct {
	loader  *loader
	server  *proxy.Server
	metrics *proxy.Metrics
	logs    *logs

	mu      sync.Mutex // one reload at a time
	current *loaded
	seen    stamps // the files as the last attempt found them, good or bad
}

// pollEvery is how often the files are looked at. A change counts once it was
// seen twice alike, so that a file which is being written is not read half: it
// takes effect within two of these, well below the promised two seconds.
const pollEvery = 500 * time.Millisecond

// run polls and listens until ctx ends.
func (r *reloader) run(ctx context.Context, hangup <-chan os.Signal) {
	ticker := time.NewTicker(pollEvery)
	defer ticker.Stop()
	var before stamps
	for {
		select {
		case <-ctx.Done():
			return
		case <-hangup:
			if err := r.logs.reopen(); err != nil {
				r.logs.service.Error("log files were not opened again", "error", err)
			}
			_ = r.reload() // it has logged what is wrong
		case <-ticker.C:
			now, changed := r.look()
			if changed && maps.Equal(now, before) {
				_ = r.reload()
			}
			before = now
		}
	}
}

// look takes the state of the files and compares it with what was last read.
func (r *reloader) look() (now stamps, changed bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now = make(stamps, len(r.seen))
	for path := range r.seen {
		now[path] = stampOf(path)
	}
	return now, !maps.Equal(now, r.seen)
}

// reload reads everything again and puts it in force, or keeps what is.
func (r *reloader) reload() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	next, seen, err := r.loader.load(r.current)
	r.seen = seen
	if err != nil {
		r.metrics.Reloaded(nil, err)
		r.logs.service.Error("not reloaded, the old state serves on", "error", err)
		return err
	}
	old := r.current
	r.current = next
	r.metrics.Reloaded(next.snapshot, nil)
	if next.same(old) {
		r.logs.service.Info("reloaded: nothing has changed")
		return nil
	}
	r.server.Publish(next.snapshot)
	if old.snapshot.Upstream != next.snapshot.Upstream {
		old.snapshot.Upstream.Close()
	}
	next.warn(r.logs.service)
	r.logs.service.Info("reloaded")
	return nil
}

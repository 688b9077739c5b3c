package main

import (
	"context"
	"maps"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/statuspage"
	"etcd-tlsproxy/proxy"
	"etcd-tlsproxy/proxy/observe"
)

// reloader takes changed files over, and changed endpoints.
type reloader struct {
	loader  *loader
	server  *proxy.Server
	metrics *observe.Metrics
	logs    *logs
	manager *manager

	mu      sync.Mutex // one reload at a time
	current *loaded
	seen    stamps // the files as the last attempt found them, good or bad

	told atomic.Pointer[statuspage.Config] // of the last attempt

	again        chan struct{} // asks for a refresh
	refreshFails bool          // of refresh alone: the last one has, and it was told
}

// pollEvery is how often the files are looked at. A change counts once it was
// seen twice alike, so that a file which is being written is not read half: it
// takes effect within two of these, well below the promised two seconds.
const pollEvery = 500 * time.Millisecond

// run polls and listens until ctx ends.
func (r *reloader) run(ctx context.Context, hangup <-chan os.Signal) {
	ticker := time.NewTicker(pollEvery)
	defer ticker.Stop()
	var refreshing sync.WaitGroup
	refreshing.Go(func() { r.refreshes(ctx) })
	defer refreshing.Wait() // or it could put a pool in force that nobody closes
	var before stamps
	for {
		select {
		case <-ctx.Done():
			return
		case <-hangup:
			if err := r.logs.reopen(); err != nil {
				r.logs.service.Error("log files were not opened again", "error", err)
			}
			_ = r.reload(ctx) // it has logged what is wrong
		case <-ticker.C:
			now, changed := r.look()
			if changed && maps.Equal(now, before) {
				_ = r.reload(ctx)
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
func (r *reloader) reload(ctx context.Context) (err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.manager.reloading()
	defer func() { r.manager.serving(err) }()
	next, seen, err := r.loader.load(ctx, r.current)
	r.seen = seen
	r.tell(next, err)
	if err != nil {
		r.metrics.Reloaded(nil, err)
		r.logs.service.Error("not reloaded, the old state serves on", "error", err)
		return err
	}
	defer r.refreshSoon()
	old := r.current
	r.metrics.Reloaded(next.snapshot.Certs, nil)
	if next.same(old) {
		r.current = next
		r.logs.service.Info("reloaded: nothing has changed")
		return nil
	}
	r.put(next)
	next.warn(r.logs.service)
	r.logs.service.Info("reloaded")
	return nil
}

// put makes a state the one in force; r.mu is held. Running requests finish on the
// pool that they began with.
func (r *reloader) put(next *loaded) {
	old := r.current
	r.current = next
	r.server.Publish(next.snapshot)
	if old.snapshot.Upstream != next.snapshot.Upstream {
		old.snapshot.Upstream.Close()
	}
}

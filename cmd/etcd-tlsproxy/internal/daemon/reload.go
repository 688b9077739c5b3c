package daemon

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

// reloader applies changed files and changed endpoints.
type reloader struct {
	loader  *loader
	server  *proxy.Server
	metrics *observe.Metrics
	logs    *logs
	manager *manager

	mu      sync.Mutex // held by a reload, and while a refresh applies what it found
	current *loaded
	seen    stamps // of the last attempt, successful or not

	lastAttempt atomic.Pointer[statuspage.Config]

	refreshNow    chan struct{}
	refreshFailed bool // whether the last refresh failed, which was logged; for refresh alone
}

// pollInterval is the interval between two polls of the files. A change counts once
// two polls find the same state, so that a file is not read while it is written. So
// it takes effect after two intervals, well within the documented two seconds.
const pollInterval = 500 * time.Millisecond

// run reloads on changes and on signals until ctx ends.
func (r *reloader) run(ctx context.Context, hangup <-chan os.Signal) {
	ticker := time.NewTicker(pollInterval)
	defer ticker.Stop()
	var refreshes sync.WaitGroup
	refreshes.Go(func() { r.runRefreshes(ctx) })
	// A refresh that outlives run could publish a pool that nothing closes.
	defer refreshes.Wait()
	var before stamps
	for {
		select {
		case <-ctx.Done():
			return
		case <-hangup:
			if err := r.logs.reopen(); err != nil {
				r.logs.service.Error("a log file could not be reopened; the old one stays in use", "error", err)
			}
			_ = r.reload(ctx) // which has logged the error
		case <-ticker.C:
			now, changed := r.poll()
			if changed && maps.Equal(now, before) {
				_ = r.reload(ctx)
			}
			before = now
		}
	}
}

// poll returns the state of the files, and whether it differs from the state that
// was read last.
func (r *reloader) poll() (now stamps, changed bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now = make(stamps, len(r.seen))
	for path := range r.seen {
		now[path] = stampOf(path)
	}
	return now, !maps.Equal(now, r.seen)
}

// reload reads everything again and publishes it, or keeps the old state.
func (r *reloader) reload(ctx context.Context) (err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.manager.reloading()
	defer func() { r.manager.serving(err) }()
	next, seen, err := r.loader.load(ctx, r.current)
	r.seen = seen
	r.publishStatus(next, err)
	if err != nil {
		r.metrics.Reloaded(nil, err)
		r.logs.service.Error("reload failed; the old state stays in force", "error", err)
		return err
	}
	defer r.requestRefresh()
	old := r.current
	r.metrics.Reloaded(next.snapshot.Certs, nil)
	r.metrics.SetWarnings(len(next.warnings))
	if next.same(old) {
		r.current = next
		r.logs.service.Info("reloaded: nothing has changed")
		return nil
	}
	if err := r.logs.apply(&next.config.Log); err != nil {
		r.logs.service.Error("a log file could not be opened; the old logs stay in use", "error", err)
	}
	r.publish(next)
	next.logWarnings(r.logs.service)
	r.logs.service.Info("reloaded")
	return nil
}

// publish puts a state in force; r.mu is held. Running requests finish on the pool
// on which they started.
func (r *reloader) publish(next *loaded) {
	old := r.current
	r.current = next
	r.server.Publish(next.snapshot)
	if old.snapshot.Upstream != next.snapshot.Upstream {
		old.snapshot.Upstream.Close()
	}
}

package daemon

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/files"
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

	// serving is server, for what must not wait for the lock; nil before it is there.
	serving atomic.Pointer[proxy.Server]

	mu      sync.Mutex // held by a reload, and while a refresh applies what it found
	current *loaded
	seen    files.Stamps // of the last attempt, successful or not

	lastAttempt atomic.Pointer[statuspage.Config]
	// shown is the state that the admin address shows. It is current, without the lock.
	shown atomic.Pointer[loaded]

	retired sync.WaitGroup // stores that are not in force any more
	stopped chan struct{}  // closed when nothing is served any more

	refreshNow chan struct{}
	// refreshProblems are those of the last refresh that succeeded, which were logged.
	refreshProblems []string
	refreshFailed   bool // whether the last refresh failed, which was logged; for refresh alone
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
	refreshes.Go(func() { r.logs.watch(ctx) })
	// A refresh that outlives run could publish a pool that nothing closes.
	defer refreshes.Wait()
	var before files.Stamps
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
func (r *reloader) poll() (now files.Stamps, changed bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now = make(files.Stamps, len(r.seen))
	for path := range r.seen {
		now[path] = files.StampOf(path)
	}
	return now, !maps.Equal(now, r.seen)
}

// reload reads everything again and publishes what is valid. The error reports what is not,
// and is in force as before.
func (r *reloader) reload(ctx context.Context) (err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.manager.reloading()
	defer func() { r.manager.serving(err) }()
	next, seen, err := r.loader.load(ctx, r.current)
	r.seen = seen
	var changed []string
	if next != nil {
		if fault := r.logs.apply(&next.config.Log); fault != nil {
			next.config.Log = r.current.config.Log
			err = errors.Join(err, &partError{names: []string{"logs"}, err: fault})
		}
		changed = r.adopt(next, err)
	}
	before := r.lastAttempt.Load()
	r.publishStatus(next, len(changed) > 0, err)
	r.publishMetrics(err)
	if err != nil {
		r.logs.service.Error(reloadFailed(err), "error", err)
		if before.Error != err.Error() { // a mistake has one line, however often it is read
			r.logs.records.Note("reload failed", slog.Any("old", oldParts(err)), slog.String("error", beginning(err.Error())))
		}
		return err
	}
	r.requestRefresh()
	return nil
}

// publishMetrics records the state in force, and the error of the attempt to load it.
func (r *reloader) publishMetrics(err error) {
	r.metrics.Reloaded(r.current.snapshot.Certs, err)
	r.metrics.SetUpstreamCertificate(r.current.origin.notAfter)
	r.metrics.SetWarnings(len(r.current.warnings))
	r.metrics.SetRestartPending(len(r.lastAttempt.Load().RestartPending))
	r.metrics.SetLimits(r.current.config.Limits.Values())
}

// adopt puts a state in force, and reports and returns what it changes; r.mu is held. err is
// the error of the reload.
func (r *reloader) adopt(next *loaded, err error) (changed []string) {
	old := r.current
	if next.same(old) {
		r.current = next
		if err == nil {
			r.logs.service.Info("reloaded: nothing has changed")
			r.noteMended()
		}
		return nil
	}
	changed = changes(old, next)
	r.publish(next)
	next.logWarnings(r.logs.service)
	for _, pending := range next.pending {
		r.logs.service.Warn("a changed setting waits for a restart", "key", pending.Key, "running", pending.Running, "file", pending.File)
	}
	switch {
	case len(changed) > 0 || !slices.Equal(next.pending, old.pending):
		r.logReload(next, changed)
	case err == nil:
		r.logs.service.Info("reloaded: the files are other ones, but nothing in force has changed")
		r.noteMended()
	}
	return changed
}

// logReload writes what a reload has changed, and what of it waits, into the logs.
func (r *reloader) logReload(next *loaded, changed []string) {
	r.logs.service.LogAttrs(context.Background(), slog.LevelInfo, "reloaded", r.noteReload(next, changed)...)
}

// noteMended writes into the audit log that the mistake of the last attempt is gone, if there
// was one. Its own line told of the mistake.
func (r *reloader) noteMended() {
	if !r.lastAttempt.Load().OK {
		r.noteReload(r.current, []string{"nothing; the mistake in the files is gone"})
	}
}

// noteReload writes it into the audit log, and returns it.
func (r *reloader) noteReload(next *loaded, changed []string) []slog.Attr {
	table, _ := tableOf(next)
	attrs := []slog.Attr{slog.Any("changed", changed), slog.Any("restart_pending", pendingTexts(next)), slog.String("table", table)}
	r.logs.records.Note("reload", attrs...)
	return attrs
}

// pendingTexts describes the settings that wait for a restart.
func pendingTexts(s *loaded) []string {
	texts := []string{}
	for _, pending := range s.pending {
		texts = append(texts, pending.String())
	}
	return texts
}

// publish puts a state in force; r.mu is held. Running requests finish on the pool
// on which they started.
func (r *reloader) publish(next *loaded) {
	old := r.current
	r.current = next
	if old.store != nil && next.store != nil && old.store != next.store {
		next.store.Succeed(old.store)
	}
	r.server.Publish(next.snapshot)
	if old.snapshot.Upstream != next.snapshot.Upstream {
		old.snapshot.Upstream.Close()
	}
	if old.store != nil && old.store != next.store {
		r.retire(old.store, old.config.Limits.UpstreamTimeout.Duration())
	}
	if c := old.changeover; c != nil && c != next.changeover {
		r.retire(c, old.config.Limits.UpstreamTimeout.Duration())
	}
	if s := old.shadow; s != nil && s != next.shadow {
		r.retire(s, 0)
	}
	if n := old.successor; n != nil && n != next.successor && n.store != next.store {
		r.retire(n.store, 0)
	}
	if n := next.successor; n != nil && n != old.successor {
		r.succeed(n, next.config.Limits.UpstreamTimeout.Duration())
	}
}

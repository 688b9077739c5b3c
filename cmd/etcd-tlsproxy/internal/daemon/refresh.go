package daemon

import (
	"context"
	"errors"
	"slices"
	"time"

	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/config"
	"etcd-tlsproxy/proxy/upstream"
)

// runRefreshes refreshes the endpoints until ctx ends. It does not share the loop of
// the reloads, because DNS may take seconds to answer.
func (r *reloader) runRefreshes(ctx context.Context) {
	for {
		var due <-chan time.Time // nil, which never fires, without a domain
		if u, _ := r.upstream(); u.SRV != "" {
			due = time.After(u.SRVRefresh.Duration())
		}
		select {
		case <-ctx.Done():
			return
		case <-r.refreshNow:
		case <-due:
		}
		r.refresh(ctx)
	}
}

// requestRefresh starts a refresh after a reload: the domain may be another one, or
// an operator who has changed the records does not want to wait.
func (r *reloader) requestRefresh() {
	select {
	case r.refreshNow <- struct{}{}:
	default: // a refresh is requested already
	}
}

// upstream returns the settings and the endpoints in force.
func (r *reloader) upstream() (*config.Upstream, []upstream.Endpoint) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return &r.current.config.Upstream, r.current.endpoints
}

// refresh looks the endpoints up once and applies what has changed. If the lookup
// fails, the old endpoints stay in use: an etcd does not fail because DNS does.
func (r *reloader) refresh(ctx context.Context) {
	u, known := r.upstream()
	if u.SRV == "" {
		r.refreshFailed, r.refreshProblems = false, nil
		return
	}
	found, err := r.loader.lookUp(ctx, u, known)
	if ctx.Err() != nil {
		return // the service is stopping; DNS did not fail
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if !u.SameSource(&r.current.config.Upstream) {
		return // a reload changed the source meanwhile, and did its own lookup
	}
	if err == nil {
		err = r.apply(ctx, found.Endpoints)
	}
	r.metrics.Refreshed(err)
	switch log := r.logs.service; {
	case err != nil && !r.refreshFailed:
		log.Warn("looking up the endpoints failed; the old ones stay in use", "error", err)
	case err == nil && r.refreshFailed:
		log.Info("looking up the endpoints succeeds again")
	}
	r.refreshFailed = err != nil
	if err == nil {
		r.logProblems(found.Problems)
	}
}

// logProblems logs the problems of a refresh that succeeded, unless the last one had the
// same.
func (r *reloader) logProblems(problems []string) {
	for _, problem := range problems {
		if !slices.Contains(r.refreshProblems, problem) {
			r.logs.service.Warn("a record of the endpoints cannot be used", "problem", problem)
		}
	}
	if len(problems) == 0 && len(r.refreshProblems) > 0 {
		r.logs.service.Info("all records of the endpoints can be used again")
	}
	r.refreshProblems = problems
}

// apply puts discovered endpoints in force; r.mu is held. The same endpoints in the
// same order keep the pool and its connections.
func (r *reloader) apply(ctx context.Context, found []upstream.Endpoint) error {
	old := r.current
	if slices.Equal(found, old.endpoints) {
		return nil
	}
	// An attacker who can forge an answer that a name does not exist must not move a
	// service from TLS to plaintext. The reverse is no risk.
	if isPlain(found) && !isPlain(old.endpoints) {
		return errors.New("the records of members with TLS are gone; if that is intended, restart the service to continue without TLS")
	}
	snapshot := *old.snapshot
	next := *old
	next.snapshot, next.endpoints = &snapshot, found
	pool, err := r.loader.newPool(&next)
	if err != nil {
		return err
	}
	snapshot.Upstream = pool
	next.share(r.loader, old)
	if err := r.loader.openStore(ctx, &next, old); err != nil {
		return err
	}
	r.publish(&next)
	r.logs.service.Info("endpoints have changed", "endpoints", endpointsOf(&next))
	return nil
}

package main

import (
	"context"
	"errors"
	"slices"
	"time"

	"etcd-tlsproxy/proxy/upstream"
)

// refreshes asks DNS again and again, until ctx ends. It does not run in the loop
// of the files, because DNS may take seconds to answer.
func (r *reloader) refreshes(ctx context.Context) {
	for {
		var due <-chan time.Time // never, without a domain
		if u := r.upstream(); u.SRV != "" {
			due = time.After(u.SRVRefresh.Duration())
		}
		select {
		case <-ctx.Done():
			return
		case <-r.again:
		case <-due:
		}
		r.refresh(ctx)
	}
}

// refreshSoon is called after a reload: the question may be another one, or an
// operator who has changed the records does not want to wait.
func (r *reloader) refreshSoon() {
	select {
	case r.again <- struct{}{}:
	default: // it will be
	}
}

func (r *reloader) upstream() *Upstream {
	r.mu.Lock()
	defer r.mu.Unlock()
	return &r.current.config.Upstream
}

// refresh asks DNS once and takes over what has changed. If that fails, the old
// endpoints serve on: an etcd does not go away because its name does.
func (r *reloader) refresh(ctx context.Context) {
	u := r.upstream()
	if u.SRV == "" {
		r.refreshFails = false
		return
	}
	found, err := r.loader.ask(ctx, u)
	if ctx.Err() != nil {
		return // the service stops, which is no failure of DNS
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if !u.sameSource(&r.current.config.Upstream) {
		return // a reload came in between, and has asked itself
	}
	if err == nil {
		err = r.adopt(found)
	}
	r.metrics.Refreshed(err)
	switch log := r.logs.service; {
	case err != nil && !r.refreshFails:
		log.Warn("endpoints were not found again, the old ones serve on", "error", err)
	case err == nil && r.refreshFails:
		log.Info("endpoints are found again")
	}
	r.refreshFails = err != nil
}

// adopt puts discovered endpoints in force; r.mu is held. The same ones in the
// same order keep the pool and its connections.
func (r *reloader) adopt(found []upstream.Endpoint) error {
	old := r.current
	if slices.Equal(found, old.endpoints) {
		return nil
	}
	// Who can make DNS say that a name does not exist must not get a service that
	// speaks TLS to go on without. One that is configured for TLS speaks it already.
	if isPlain(found) && !isPlain(old.endpoints) {
		return errors.New("the records of members with TLS are gone; if that is right, restart the service to go on without TLS")
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
	r.put(&next)
	r.logs.service.Info("endpoints have changed", "endpoints", found)
	return nil
}

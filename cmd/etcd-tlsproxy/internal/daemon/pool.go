package daemon

import (
	"context"
	"slices"

	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/config"
	"etcd-tlsproxy/proxy/share"
	"etcd-tlsproxy/proxy/upstream"
)

// connect gives a state its connections to etcd, and its store: the pool of the previous state if none of
// its options has changed, or otherwise a new one.
func (l *loader) connect(ctx context.Context, state, before *loaded) error {
	if err := l.discover(ctx, state, before); err != nil {
		return err
	}
	if before != nil && state.samePool(before) {
		state.snapshot.Upstream = before.snapshot.Upstream
	} else {
		pool, err := l.newPool(state)
		if err != nil {
			return err
		}
		state.snapshot.Upstream = pool
	}
	state.share(l, before)
	if before == nil {
		return nil // the store is opened when the logs are
	}
	return l.openStore(ctx, state, before)
}

func (s *loaded) samePool(before *loaded) bool {
	a, b := before.config, s.config
	return slices.Equal(before.endpoints, s.endpoints) && s.origin.same(&before.origin) &&
		a.Upstream.CA == b.Upstream.CA && a.Upstream.ServerName == b.Upstream.ServerName &&
		a.Upstream.InsecureSkipVerify == b.Upstream.InsecureSkipVerify &&
		a.Limits.UpstreamRequests == b.Limits.UpstreamRequests && a.Limits.UpstreamTimeout == b.Limits.UpstreamTimeout
}

func (l *loader) newPool(s *loaded) (*upstream.Pool, error) {
	limits := &s.config.Limits
	return upstream.New(upstream.Options{
		Endpoints: s.endpoints, TLS: s.origin.tls, Authorization: s.origin.authorization, Counters: l.counters,
		RawSockets:  s.config.RawSockets,
		Probe:       s.probe(),
		MaxRequests: limits.UpstreamRequests,
		// A watch that starts at an old index needs a second one, and a hub outlives its
		// last watcher for a moment.
		MaxWatches:    2*limits.Watches + 1024,
		Buffered:      min(128<<20, limits.Memory/8),
		HeaderTimeout: limits.UpstreamTimeout.Duration(), BodyTimeout: limits.UpstreamTimeout.Duration(),
	})
}

// share keeps the batches and hubs of the previous state if the pool is the same. With
// another pool it makes new ones; requests that wait on the old ones stay there.
func (s *loaded) share(l *loader, before *loaded) {
	same := before != nil && before.snapshot.Upstream == s.snapshot.Upstream
	if s.config.ShareReads {
		if same && before.snapshot.Reads != nil {
			s.snapshot.Reads = before.snapshot.Reads
		} else {
			s.snapshot.Reads = share.NewReads(s.snapshot.Upstream, l.saved)
		}
	}
	if s.config.ShareWatches {
		if same && before.snapshot.Watches != nil {
			s.snapshot.Watches = before.snapshot.Watches
		} else {
			s.snapshot.Watches = share.NewWatches(share.WatchOptions{
				Pool: s.snapshot.Upstream, Counters: l.watches,
				Memory: eventMemory(s.config),
			})
		}
	}
}

// eventMemory returns the bytes that all events for watches can need.
func eventMemory(c *config.Config) int64 { return min(128<<20, c.Limits.Memory/8) }

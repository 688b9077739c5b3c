package daemon

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"time"

	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/config"
	"etcd-tlsproxy/proxy/share"
	"etcd-tlsproxy/proxy/upstream"
	"etcd-tlsproxy/proxy/v2v3/rpc"
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
	a, b := &before.config.Limits, &s.config.Limits
	return s.sameOrigin(before) && a.UpstreamRequests == b.UpstreamRequests && a.UpstreamTimeout == b.UpstreamTimeout
}

// sameOrigin reports whether the members of etcd, and what proves who they and this proxy are, are the same.
func (s *loaded) sameOrigin(before *loaded) bool {
	a, b := &before.config.Upstream, &s.config.Upstream
	return slices.Equal(before.endpoints, s.endpoints) && s.origin.same(&before.origin) &&
		a.CA == b.CA && a.ServerName == b.ServerName && a.InsecureSkipVerify == b.InsecureSkipVerify
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
			s.renewWatches(l)
		}
	}
}

// renewWatches gives a state hubs without a past.
func (s *loaded) renewWatches(l *loader) {
	s.snapshot.Watches = share.NewWatches(share.WatchOptions{
		Pool: s.snapshot.Upstream, Counters: l.watches,
		Memory: eventMemory(s.config),
	})
}

// eventMemory returns the bytes that all events for watches can need.
func eventMemory(c *config.Config) int64 { return min(128<<20, c.Limits.Memory/8) }

// DiscoverTimeout is the time limit of all lookups of a discovery: the resolver
// tries twice, for five seconds each time.
const DiscoverTimeout = 10 * time.Second

// discover finds the endpoints of a state that names none. The endpoints of the previous
// state are kept if they come from the same source: a reload, perhaps of a changed
// password, must not fail because DNS does. The refresh notices changed records.
func (l *loader) discover(ctx context.Context, state, before *loaded) error {
	if len(state.endpoints) > 0 {
		return nil
	}
	u := &state.config.Upstream
	if before != nil && u.SameSource(&before.config.Upstream) && checkDiscovered(u, before.endpoints) == nil {
		state.endpoints = before.endpoints
		return nil
	}
	found, err := l.lookUp(ctx, u, nil)
	if err == nil {
		err = checkDiscovered(u, found.Endpoints)
	}
	if err != nil {
		errs := state.doc.NewErrors()
		errs.Add("no endpoints of etcd were found: "+err.Error(), "check the domain, as with dig -t SRV _etcd-client-ssl._tcp."+u.SRV, "upstream", "srv")
		return errs.Err()
	}
	state.endpoints = found.Endpoints
	for _, problem := range found.Problems {
		state.warnings = append(state.warnings, state.doc.Warning(problem, "upstream", "srv"))
	}
	return nil
}

// lookUp looks the endpoints up in DNS. Those of the last lookup are known.
func (l *loader) lookUp(ctx context.Context, u *config.Upstream, known []upstream.Endpoint) (*upstream.Discovery, error) {
	ctx, cancel := context.WithTimeout(ctx, DiscoverTimeout)
	defer cancel()
	return upstream.Discover(ctx, upstream.NewResolver(u.Resolver), u.SRV, l.seed, known)
}

// checkDiscovered refuses endpoints without TLS if TLS is configured. Otherwise an attacker
// who forges answers of DNS could read and change everything.
func checkDiscovered(u *config.Upstream, found []upstream.Endpoint) error {
	if u.WantsTLS() && isPlain(found) {
		return errors.New("DNS has only records of plaintext members, but ca, certificate, server_name or insecure_skip_verify requires TLS")
	}
	return nil
}

// isPlain reports whether discovered endpoints are plaintext. They are never mixed.
func isPlain(found []upstream.Endpoint) bool { return !found[0].TLS() }

// probe returns how the members are asked about themselves; nil is by the v2 API.
func (s *loaded) probe() func(context.Context, upstream.Endpoint) (upstream.Probed, error) {
	if !s.config.Upstream.V3() && !s.config.Upstream.Auto() {
		return nil
	}
	user, from := s.config.Upstream.User, s.origin
	return func(ctx context.Context, e upstream.Endpoint) (found upstream.Probed, err error) {
		var p *rpc.Probed
		for _, at := range from.members(e) {
			if p, err = rpc.Probe(ctx, at, user, from.password); err == nil {
				break
			}
		}
		if err != nil {
			return upstream.Probed{}, err
		}
		member := func(id uint64) upstream.Member {
			if id == 0 {
				return upstream.Member{}
			}
			return upstream.Member{ID: strconv.FormatUint(id, 16), Name: p.Names[id]}
		}
		return upstream.Probed{Member: member(p.ID), Leader: member(p.Leader), Version: p.Version}, nil
	}
}

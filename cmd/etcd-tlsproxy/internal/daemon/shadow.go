package daemon

import (
	"context"
	"log/slog"
	"slices"

	"etcd-tlsproxy/proxy/shadow"
	"etcd-tlsproxy/proxy/upstream"
	"etcd-tlsproxy/proxy/v2v3"
)

// shadowShare is the share of the memory, as a divisor, of what waits for the shadow, and maxShadow a bound of it.
const shadowShare, maxShadow = 16, 64 << 20

// openShadow gives a state its shadow: that of the previous state if it can go on, or otherwise another one. A
// shadow that cannot be reached is opened all the same: it is not needed for serving.
func (l *loader) openShadow(state, before *loaded) error {
	state.shadow, state.snapshot.Shadow = nil, nil
	if state.config.Shadow.Sample == 0 || state.servesStore() {
		return nil
	}
	share := float64(state.config.Shadow.Sample) / 100
	if before != nil && before.shadow != nil && state.sameShadow(before) {
		before.shadow.SetSample(share)
		state.shadow, state.snapshot.Shadow = before.shadow, before.shadow
		return nil
	}
	limits := &state.config.Limits
	pool, err := upstream.New(upstream.Options{
		Endpoints: state.endpoints, TLS: state.origin.tls, Authorization: state.origin.authorization, RawSockets: state.config.RawSockets,
		MaxRequests: shadow.MaxRequests, MaxWatches: shadow.MaxRequests, MaxIdle: shadow.MaxRequests, Probe: state.probe(),
		HeaderTimeout: limits.UpstreamTimeout.Duration(), BodyTimeout: limits.UpstreamTimeout.Duration(),
	})
	if err != nil {
		return err
	}
	o := state.shadowOptions(l.log.With("of", "shadow"))
	s, err := shadow.Open(shadow.Options{Store: o, Pool: pool, Sample: share, MaxBytes: min(maxShadow, limits.Memory/shadowShare), Counts: &l.compared, Log: l.log})
	if err != nil {
		pool.Close()
		return err
	}
	state.shadow, state.snapshot.Shadow = s, s
	return nil
}

// sameShadow reports whether the shadow can go on: another one would have to read the events that wait again, and
// etcd forgets them soon. A time limit is not worth that.
func (s *loaded) sameShadow(before *loaded) bool {
	return s.sameOrigin(before) && s.config.ShadowPrefix() == before.config.ShadowPrefix() && slices.Equal(s.shadowEndpoints, before.shadowEndpoints) &&
		s.config.Upstream.Compact == before.config.Upstream.Compact && s.config.Upstream.QuotaBytes == before.config.Upstream.QuotaBytes
}

// shadowOptions returns the options of the store that has the copy.
func (s *loaded) shadowOptions(log *slog.Logger) v2v3.Options {
	o := s.storeOptions(log)
	o.Prefix, o.ServeStale, o.Linearizable = s.config.ShadowPrefix(), false, false
	o.MaxBytes = s.config.Limits.Memory / treeShare / 2
	if len(s.shadowEndpoints) > 0 {
		o.Endpoints = nil
		for _, e := range s.shadowEndpoints {
			o.Endpoints = append(o.Endpoints, s.origin.members(e)...)
		}
	}
	return o
}

// ShadowOptions reads a configuration and returns the options of the store that has the copy with which answers are
// compared, or nil if none are.
func ShadowOptions(ctx context.Context, file string, log *slog.Logger) (o *v2v3.Options, err error) {
	state, err := loadOptions(ctx, file, func(*loaded) error { return nil })
	if err == nil && state.config.Shadow.Sample > 0 {
		of := state.shadowOptions(log)
		o = &of
	}
	return o, err
}

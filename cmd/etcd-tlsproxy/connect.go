package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"slices"

	"etcd-tlsproxy/proxy/upstream"
)

// connect gives a state its way to etcd: the pool of the state before, if nothing
// about it has changed, or another one.
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
	return nil
}

func (s *loaded) samePool(before *loaded) bool {
	a, b := before.config, s.config
	return slices.Equal(before.endpoints, s.endpoints) && bytes.Equal(before.ca, s.ca) &&
		a.Upstream.CA == b.Upstream.CA && a.Upstream.ServerName == b.Upstream.ServerName && a.Upstream.InsecureSkipVerify == b.Upstream.InsecureSkipVerify &&
		a.Limits.UpstreamRequests == b.Limits.UpstreamRequests && a.Limits.UpstreamTimeout == b.Limits.UpstreamTimeout
}

func (l *loader) newPool(s *loaded) (*upstream.Pool, error) {
	limits := &s.config.Limits
	return upstream.New(upstream.Options{
		RawSockets: true,
		Endpoints:  s.endpoints, TLS: s.tls, Counters: l.counters,
		MaxRequests: limits.UpstreamRequests,
		// A watch with an old index is one more, and hubs outlive their watchers a little.
		MaxWatches:    2*limits.Watches + 1024,
		Buffered:      min(128<<20, limits.Memory/8),
		HeaderTimeout: limits.UpstreamTimeout.Duration(), BodyTimeout: limits.UpstreamTimeout.Duration(),
	})
}

// loadUpstreamCA prepares TLS towards etcd, if there is or can be an https
// endpoint.
func (s *loaded) loadUpstreamCA(files *reader, ps *problems) {
	u := &s.config.Upstream
	if u.SRV == "" && !slices.ContainsFunc(s.endpoints, upstream.Endpoint.TLS) {
		return
	}
	s.tls = &tls.Config{ServerName: u.ServerName, InsecureSkipVerify: u.InsecureSkipVerify, MinVersion: tls.VersionTLS12}
	if u.CA == "" {
		return
	}
	var ok bool
	if s.ca, ok = files.readFor(ps, u.CA, "upstream", "ca"); !ok {
		return
	}
	s.tls.RootCAs = x509.NewCertPool()
	if !s.tls.RootCAs.AppendCertsFromPEM(s.ca) {
		ps.add(files.path(u.CA)+": there is no certificate in it", "it should hold PEM blocks that begin with -----BEGIN CERTIFICATE-----", "upstream", "ca")
	}
}

package daemon

import (
	"context"
	"errors"
	"time"

	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/config"
	"etcd-tlsproxy/proxy/upstream"
)

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

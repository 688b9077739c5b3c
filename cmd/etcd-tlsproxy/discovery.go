package main

import (
	"context"
	"errors"
	"time"

	"etcd-tlsproxy/proxy/upstream"
)

// discoverTimeout bounds all questions of a discovery: the resolver asks twice,
// and waits five seconds each time.
const discoverTimeout = 10 * time.Second

// discover finds a state's endpoints, if it names none. Those of the state before
// are kept if they come from the same place: it is not for a reload, which may be
// about a password, to fail because DNS does. The refresh finds what has changed.
func (l *loader) discover(ctx context.Context, state, before *loaded) error {
	if len(state.endpoints) > 0 {
		return nil
	}
	u := &state.config.Upstream
	if before != nil && u.sameSource(&before.config.Upstream) && u.takes(before.endpoints) == nil {
		state.endpoints = before.endpoints
		return nil
	}
	found, err := l.ask(ctx, u)
	if err == nil {
		err = u.takes(found)
	}
	if err != nil {
		ps := &problems{doc: state.doc}
		ps.add("no endpoints of etcd: "+err.Error(), "is the domain right? try dig -t SRV _etcd-client-ssl._tcp."+u.SRV, "upstream", "srv")
		return ps.err()
	}
	state.endpoints = found
	return nil
}

// ask asks DNS for endpoints.
func (l *loader) ask(ctx context.Context, u *Upstream) ([]upstream.Endpoint, error) {
	ctx, cancel := context.WithTimeout(ctx, discoverTimeout)
	defer cancel()
	return upstream.Discover(ctx, upstream.NewResolver(u.Resolver), u.SRV, l.draw)
}

// takes refuses discovered endpoints without TLS where TLS is configured: to take
// them would let whoever forges an answer of DNS read and change everything.
func (u *Upstream) takes(found []upstream.Endpoint) error {
	if u.wantsTLS() && isPlain(found) {
		return errors.New("there are only records of plaintext members, and ca, server_name or insecure_skip_verify ask for TLS")
	}
	return nil
}

// isPlain tells of all discovered endpoints, because they are never mixed.
func isPlain(found []upstream.Endpoint) bool { return !found[0].TLS() }

// sameSource reports whether two configurations ask the same of the same server.
func (u *Upstream) sameSource(v *Upstream) bool { return u.SRV == v.SRV && u.Resolver == v.Resolver }

package upstream

import (
	"context"
	"errors"
	"net"
	"time"
)

// Resolver asks DNS for the members of a domain and for their addresses.
type Resolver struct {
	server string // "" for the system's
	dns    *net.Resolver
}

// NewResolver asks the server at an address as in 127.0.0.1:53, or those of
// /etc/resolv.conf if it is "". /etc/hosts is read before either.
func NewResolver(server string) *Resolver {
	r := &Resolver{server: server}
	// The C library's resolver can neither be told a server nor be interrupted.
	r.dns = &net.Resolver{PreferGo: true, Dial: r.dial}
	return r
}

// dial connects to a DNS server. The standard library waits for an answer until
// its own timeout, whatever becomes of ctx; a shutdown cannot wait that long.
func (r *Resolver) dial(ctx context.Context, network, address string) (net.Conn, error) {
	if r.server != "" {
		address = r.server
	}
	var dialer net.Dialer
	c, err := dialer.DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	context.AfterFunc(ctx, func() { _ = c.SetDeadline(time.Unix(1, 0)) })
	return c, nil
}

// answer is what came back instead of records, and from where. The standard
// library's own text tells the server that it would have asked without dial.
func (r *Resolver) answer(err error) string {
	var wrong *net.DNSError
	if !errors.As(err, &wrong) {
		return err.Error()
	}
	server := r.server
	if server == "" {
		server = wrong.Server
	}
	if server == "" {
		return wrong.Err
	}
	return wrong.Err + ", says " + server
}

// missing reports whether an error is DNS's word that there is no such record. A
// server that fails, or says nothing, has not said so.
func isNotFound(err error) bool {
	var wrong *net.DNSError
	return errors.As(err, &wrong) && wrong.IsNotFound
}

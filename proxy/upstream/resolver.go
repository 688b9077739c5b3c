package upstream

import (
	"context"
	"errors"
	"net"
	"time"
)

// Resolver looks up the members of a domain and their addresses in DNS.
type Resolver struct {
	server string // "" for the system's
	dns    *net.Resolver
}

// NewResolver returns a resolver that queries the server at an address such as
// 127.0.0.1:53, or those of /etc/resolv.conf if it is "". /etc/hosts takes precedence.
func NewResolver(server string) *Resolver {
	r := &Resolver{server: server}
	// The C library's resolver does not accept a server and cannot be interrupted.
	r.dns = &net.Resolver{PreferGo: true, Dial: r.dial}
	return r
}

// dial connects to a DNS server. The standard library waits for an answer until
// its own timeout, even if ctx ends; a shutdown cannot wait that long.
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

// answer returns the text of a DNS error with the server that sent it. The standard
// library's text names the server that it would have queried without dial.
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

// isNotFound reports whether DNS answered that there is no such record. A server that
// fails or is silent has not answered so.
func isNotFound(err error) bool {
	var wrong *net.DNSError
	return errors.As(err, &wrong) && wrong.IsNotFound
}

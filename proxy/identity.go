package proxy

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"net/netip"
	"strings"
	"sync"
	"time"
	"unsafe"

	"etcd-tlsproxy/certs"
)

// Known says how a client is known.
type Known int

// A client is known by one means or not at all: a request that brings a
// password is decided by the password alone, right or wrong, and never gains
// from the certificate of its connection.
const (
	Anonymous Known = iota
	ByPassword
	ByCertificate
)

func (k Known) String() string { return [...]string{"anonymous", "password", "certificate"}[k] }

// Identity is who a client is. The zero Identity is an unknown client.
type Identity struct {
	Name  string
	Known Known
	// print is the digest of the password hash the name was verified against.
	print [16]byte
}

// Peer is the client's end of one connection.
type Peer struct {
	// Addr is the client's address, IPv4 ones in their own form.
	Addr netip.AddrPort

	address string // of Addr, without the port
	chain   []*x509.Certificate

	mu       sync.Mutex
	verified *certs.Generation // by which name, until and err were worked out
	name     string
	until    time.Time
	err      error
}

// NewPeer is the peer at addr that showed a chain of certificates in its
// handshake, or none.
func NewPeer(addr netip.AddrPort, chain []*x509.Certificate) *Peer {
	addr = netip.AddrPortFrom(addr.Addr().Unmap(), addr.Port())
	return &Peer{Addr: addr, address: addr.Addr().String(), chain: chain}
}

// certificate is the name the peer's certificate has under a generation of CAs.
// The chain was verified in the handshake, but perhaps by an earlier generation:
// a CA that was taken away since, or a certificate that expired, ends the
// identity of a connection that lives on.
func (p *Peer) certificate(g *certs.Generation) (string, error) {
	if len(p.chain) == 0 {
		return "", errNoCertificate
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	if p.verified != g || p.err == nil && now.After(p.until) {
		name, err := g.Identify(p.chain, now)
		p.verified, p.name, p.until, p.err = g, name.Value, name.Until, err
	}
	return p.name, p.err
}

var errNoCertificate = errors.New("the client showed no certificate")

// parseBasic reads an Authorization value. It is as lenient as nginx about
// blanks and padding, because clients rely on it, and strict about the rest. What
// it returns lies in room, if that is large enough.
func parseBasic(value string, room []byte) (user, password []byte, ok bool) {
	scheme, rest, found := strings.Cut(value, " ")
	if !found || !strings.EqualFold(scheme, "Basic") {
		return nil, nil, false
	}
	encoded := strings.TrimRight(strings.Trim(rest, " \t"), "=")
	decoded, err := base64.RawStdEncoding.AppendDecode(room[:0], unsafe.Slice(unsafe.StringData(encoded), len(encoded)))
	if err != nil {
		return nil, nil, false
	}
	user, password, ok = bytes.Cut(decoded, []byte(":"))
	return user, password, ok && len(user) > 0 && len(password) > 0
}

// identify finds out who the client is, once it matters. A refusal means that
// it could not be found out now; an unknown client is the zero Identity.
func (g *Gate) identify(ctx context.Context, s *Snapshot, req *Request) (Identity, *Refusal) {
	if req.assumed != nil {
		return *req.assumed, nil
	}
	if req.Authorization == "" {
		name, err := req.Peer.certificate(s.Certs)
		switch {
		case err == errNoCertificate:
			g.metrics.logins.WithLabelValues(Anonymous.String(), "none").Inc()
			return Identity{}, nil
		case err != nil:
			g.metrics.logins.WithLabelValues(ByCertificate.String(), "failed").Inc()
			return Identity{}, nil
		}
		g.metrics.logins.WithLabelValues(ByCertificate.String(), "ok").Inc()
		return Identity{Name: name, Known: ByCertificate}, nil
	}
	var room [256]byte // most fit, and need no memory of their own
	user, password, ok := parseBasic(req.Authorization, room[:])
	if !ok {
		g.loginResult("failed")
		return Identity{}, nil
	}
	return g.login(ctx, s.Users, req.Peer.Addr.Addr(), user, password)
}

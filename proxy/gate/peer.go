package gate

import (
	"crypto/x509"
	"errors"
	"net/netip"
	"sync"
	"time"

	"etcd-tlsproxy/certs"
	"etcd-tlsproxy/proxy/account"
)

// Peer is the client's end of one connection.
type Peer struct {
	// Addr is the client's address. IPv4 addresses have their own form.
	Addr netip.AddrPort
	// Address is Addr without the port, as text.
	Address string
	// Account is charged for what the client uses while its user is unknown. Users has the
	// accounts of its users, or is nil.
	Account *account.Account
	Users   *account.Users

	chain []*x509.Certificate

	mu       sync.Mutex
	verified *certs.Generation // the generation that name, until and err are from
	name     string
	until    time.Time
	err      error
}

// NewPeer returns the peer at addr, with the chain of certificates that it showed in its
// handshake, if any.
func NewPeer(addr netip.AddrPort, chain []*x509.Certificate) *Peer {
	addr = netip.AddrPortFrom(addr.Addr().Unmap(), addr.Port())
	return &Peer{Addr: addr, Address: addr.Addr().String(), chain: chain}
}

// certificate returns the name that the peer's certificate has under a generation of CAs.
// The handshake verified the chain, but perhaps with an earlier generation: a CA that was
// removed since then, or a certificate that has expired, ends the identity of a connection
// that is still open. until is the time at which the certificate expires.
func (p *Peer) certificate(g *certs.Generation) (name string, until time.Time, err error) {
	if len(p.chain) == 0 {
		return "", time.Time{}, errNoCertificate
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	if p.verified != g || p.err == nil && now.After(p.until) {
		name, err := g.Identify(p.chain, now)
		p.verified, p.name, p.until, p.err = g, name.Value, name.Until, err
	}
	return p.name, p.until, p.err
}

// proved records in the peer's account that its client is known.
func (p *Peer) proved() {
	if p.Account != nil {
		p.Account.Proved()
	}
}

var errNoCertificate = errors.New("the client sent no certificate")

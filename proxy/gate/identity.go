package gate

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"strings"
	"unsafe"
)

// Known is the means by which a client is known.
type Known int

// A client is known by one means or by none. A request with a password is decided by
// that password alone, right or wrong: it never gains from the certificate of its
// connection.
const (
	Anonymous Known = iota
	ByPassword
	ByCertificate
)

// String returns the means as logs, metrics and the status name it.
func (k Known) String() string { return [...]string{"anonymous", "password", "certificate"}[k] }

// Identity is who a client is. The zero Identity is an unknown client.
type Identity struct {
	Name  string
	Known Known
	// fingerprint is the digest of the password hash that the name was verified with.
	fingerprint [16]byte
}

// parseBasic reads an Authorization value. It is as lenient as nginx about blanks and
// padding, because clients rely on that, and strict about the rest. The results are stored
// in room if it is large enough.
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

// identify returns the identity of the client. It is called only if the decision depends on
// the identity. It returns a refusal if the identity cannot be determined now. An unknown
// client has the zero Identity.
func (g *Gate) identify(ctx context.Context, p *Policy, req *Request) (Identity, *Refusal) {
	if req.assumed != nil {
		return *req.assumed, nil
	}
	if req.Authorization == "" {
		name, err := req.Peer.certificate(p.Certs)
		switch {
		case errors.Is(err, errNoCertificate):
			g.Login(Anonymous, "none")
			return Identity{}, nil
		case err != nil:
			g.Login(ByCertificate, "failed")
			return Identity{}, nil
		}
		g.Login(ByCertificate, "ok")
		req.Peer.proved()
		return Identity{Name: name, Known: ByCertificate}, nil
	}
	var room [256]byte // fits nearly all credentials without an allocation
	user, password, ok := parseBasic(req.Authorization, room[:])
	if !ok {
		g.Login(ByPassword, "failed")
		return Identity{}, nil
	}
	identity, refusal := g.login(ctx, p.Users, req.Peer.Addr.Addr(), user, password)
	if identity.Known == ByPassword {
		req.Peer.proved()
	}
	return identity, refusal
}

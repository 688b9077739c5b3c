package gate

import (
	"bytes"
	"context"
	"encoding/base64"
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
// in room if it is large enough. The login says what is wrong with the value, or is
// LoginUnneeded.
func parseBasic(value string, room []byte) (user, password []byte, login Login) {
	scheme, rest, _ := strings.Cut(value, " ")
	if !strings.EqualFold(scheme, "Basic") {
		return nil, nil, LoginScheme
	}
	encoded := strings.TrimRight(strings.Trim(rest, " \t"), "=")
	decoded, err := base64.RawStdEncoding.AppendDecode(room[:0], unsafe.Slice(unsafe.StringData(encoded), len(encoded)))
	if err != nil {
		return nil, nil, LoginMalformed
	}
	user, password, ok := bytes.Cut(decoded, []byte(":"))
	if !ok || len(user) == 0 || len(password) == 0 {
		return nil, nil, LoginMalformed
	}
	return user, password, LoginUnneeded
}

// identify identifies the client, fills op with the result, and reports it. It is called
// only if the decision depends on the identity. It returns a refusal if the identity cannot
// be determined now. An unknown client has the zero Identity.
func (g *Gate) identify(ctx context.Context, p *Policy, req *Request, op *Operation) *Refusal {
	if req.assumed != nil {
		op.Identity = *req.assumed
		return nil
	}
	refusal := g.tryIdentify(ctx, p, req, op)
	g.Login(op.Login)
	if op.Identity.Known != Anonymous {
		req.Peer.proved()
	}
	return refusal
}

func (g *Gate) tryIdentify(ctx context.Context, p *Policy, req *Request, op *Operation) *Refusal {
	if req.Authorization == "" {
		name, _, err := req.Peer.certificate(p.Certs)
		if err != nil {
			op.Login = loginOf(err)
			return nil
		}
		op.Login, op.Identity = LoginCertified, Identity{Name: name, Known: ByCertificate}
		return nil
	}
	var room [256]byte // fits nearly all credentials without an allocation
	user, password, login := parseBasic(req.Authorization, room[:])
	if login != LoginUnneeded {
		op.Login = login
		return nil
	}
	return g.login(ctx, p, req.Peer, user, password, op)
}

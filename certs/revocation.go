package certs

import (
	"bytes"
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"fmt"
	"time"
)

// revocations are the revocation lists of the CAs of clients. With them, each certificate
// between a client and a CA of the bundle must be covered by a list in force of the CA
// that signed it.
type revocations struct {
	lists []*revocationList
	// byCA holds the lists of the CAs of the bundle, by certificate. Their signatures have
	// been verified. Other lists are for intermediate CAs, whose certificates clients send.
	byCA map[string][]*revocationList
}

// revocationList is one list of one CA.
type revocationList struct {
	*x509.RevocationList
	at      string // its place in the file
	serials map[string]struct{}
}

// ErrRevoked means that a revocation list contains a certificate of a client's chain.
var ErrRevoked = errors.New("the certificate has been revoked")

var (
	errNoList        = errors.New("there is no revocation list of the certificate's CA")
	errListNotInTime = errors.New("the revocation list of the certificate's CA has expired or is not valid yet")
)

// newRevocations parses a file of lists and assigns them to the CAs of a bundle.
func newRevocations(p PEM, cas []*x509.Certificate, now time.Time) (r *revocations, warnings []string, err error) {
	r = &revocations{byCA: make(map[string][]*revocationList)}
	warn := func(form string, args ...any) { warnings = append(warnings, p.File+": "+fmt.Sprintf(form, args...)) }
	if r.lists, err = parseLists(p); err != nil {
		return nil, nil, err
	}
	for _, list := range r.lists {
		named, signed, wrong := false, false, error(nil)
		for _, ca := range cas {
			if !bytes.Equal(ca.RawSubject, list.RawIssuer) {
				continue
			}
			named = true
			if wrong = list.CheckSignatureFrom(ca); wrong == nil {
				signed = true
				r.byCA[string(ca.Raw)] = append(r.byCA[string(ca.Raw)], list)
			}
		}
		switch {
		case !named:
			warn("%s is of %s, which is not among the client CAs; it is used only if a client sends the certificate of that CA", list.at, list.Issuer)
		case !signed:
			return nil, nil, fileError(p, fmt.Sprintf("%s was not signed by the client CA %s: %v", list.at, list.Issuer, wrong), "was only one of the two files replaced?")
		}
		if !list.inForce(now) {
			warn("%s of %s is not in force (%s); clients of this CA are refused", list.at, list.Issuer, list.period())
		}
	}
	for _, ca := range cas {
		if r.byCA[string(ca.Raw)] == nil {
			warn("there is no list of the client CA %s; clients whose certificate it signed are refused", ca.Subject)
		}
	}
	return r, warnings, nil
}

// parseLists parses a file that must contain at least one list, and nothing else.
func parseLists(p PEM) ([]*revocationList, error) {
	blocks, err := decodeBlocks(p)
	if err != nil {
		return nil, err
	}
	var lists []*revocationList
	for _, b := range blocks {
		if b.Type != "X509 CRL" {
			return nil, fileError(p, b.String()+" is not a revocation list", "the file should contain revocation lists only")
		}
		list := &revocationList{at: b.String(), serials: make(map[string]struct{})}
		if list.RevocationList, err = x509.ParseRevocationList(b.Bytes); err != nil {
			return nil, fmt.Errorf("%s: %s: %w", p.File, b, err)
		}
		if err := list.check(); err != nil {
			return nil, fileError(p, b.String()+" "+err.Error(), "let the CA write a complete list of its own certificates")
		}
		for _, entry := range list.RevokedCertificateEntries {
			list.serials[string(entry.SerialNumber.Bytes())] = struct{}{}
		}
		lists = append(lists, list)
	}
	if len(lists) == 0 {
		return nil, fileError(p, "it contains no revocation list", "it should contain PEM blocks that begin with -----BEGIN X509 CRL-----; openssl crl -inform DER converts a list in DER")
	}
	return lists, nil
}

// Extensions of lists that do not cover all certificates of their CA.
var (
	oidDelta = asn1.ObjectIdentifier{2, 5, 29, 27}
	oidScope = asn1.ObjectIdentifier{2, 5, 29, 28}
)

// check refuses lists that a certificate's absence from says nothing about.
func (l *revocationList) check() error {
	for _, e := range l.Extensions {
		switch {
		case e.Id.Equal(oidDelta):
			return errors.New("is a delta list: it contains only what has changed")
		case e.Id.Equal(oidScope):
			return errors.New("has an issuing distribution point: it may cover only a part of the certificates")
		case e.Critical:
			return fmt.Errorf("has a critical extension that is not supported, %s", e.Id)
		}
	}
	for _, entry := range l.RevokedCertificateEntries {
		for _, e := range entry.Extensions {
			if e.Critical {
				return fmt.Errorf("has an entry with a critical extension that is not supported, %s", e.Id)
			}
		}
	}
	return nil
}

// inForce reports whether the list is valid at a time. A list without an end stays valid.
func (l *revocationList) inForce(now time.Time) bool {
	return !now.Before(l.ThisUpdate) && (l.NextUpdate.IsZero() || !now.After(l.NextUpdate))
}

func (l *revocationList) period() string {
	if l.NextUpdate.IsZero() {
		return "from " + l.ThisUpdate.Format(time.RFC3339)
	}
	return "from " + l.ThisUpdate.Format(time.RFC3339) + " until " + l.NextUpdate.Format(time.RFC3339)
}

// check returns an error unless no certificate of a path is revoked. The last one, a CA of
// the bundle, is trusted without a list. The result is valid until the given time, or
// without an end if that is zero.
func (r *revocations) check(path []*x509.Certificate, now time.Time) (until time.Time, err error) {
	for i, c := range path[:len(path)-1] {
		end, err := r.checkOne(c, path[i+1], now)
		if err != nil {
			return until, err
		}
		until = earlier(until, end)
	}
	return until, nil
}

// checkOne checks a certificate against the lists of the CA that signed it. One of them
// must be in force.
func (r *revocations) checkOne(c, ca *x509.Certificate, now time.Time) (until time.Time, err error) {
	lists, current := r.of(ca), false
	for _, list := range lists {
		if _, revoked := list.serials[string(c.SerialNumber.Bytes())]; revoked {
			return until, ErrRevoked
		}
		if list.inForce(now) {
			current = true
			until = earlier(until, list.NextUpdate)
		}
	}
	switch {
	case len(lists) == 0:
		return until, errNoList
	case !current:
		return until, errListNotInTime
	}
	return until, nil
}

// of returns the lists of a CA. Those of intermediate CAs are verified each time, because
// their certificates come with the client.
func (r *revocations) of(ca *x509.Certificate) []*revocationList {
	if lists, ok := r.byCA[string(ca.Raw)]; ok {
		return lists
	}
	var lists []*revocationList
	for _, list := range r.lists {
		if bytes.Equal(list.RawIssuer, ca.RawSubject) && list.CheckSignatureFrom(ca) == nil {
			lists = append(lists, list)
		}
	}
	return lists
}

// earlier returns the earlier of two times, of which zero is never.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

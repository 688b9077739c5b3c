package certs

import (
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"
)

// revoke returns a revocation list of the CA, which change modifies before it is signed.
func (a *authority) revoke(change func(*x509.RevocationList), certificates ...*x509.Certificate) []byte {
	a.t.Helper()
	list := &x509.RevocationList{Number: big.NewInt(1), ThisUpdate: time.Now().Add(-time.Hour), NextUpdate: time.Now().Add(time.Hour)}
	for _, c := range certificates {
		list.RevokedCertificateEntries = append(list.RevokedCertificateEntries, x509.RevocationListEntry{SerialNumber: c.SerialNumber, RevocationTime: time.Now()})
	}
	if change != nil {
		change(list)
	}
	der, err := x509.CreateRevocationList(rand.Reader, list, a.cert, a.key)
	if err != nil {
		a.t.Fatal(err)
	}
	return blockOf("X509 CRL", der)
}

func (o Options) withList(lists ...[]byte) Options {
	o.ClientCRL = PEM{"clients.crl", slices.Concat(lists...)}
	return o
}

func outdated(list *x509.RevocationList) {
	list.ThisUpdate, list.NextUpdate = time.Now().Add(-2*time.Hour), time.Now().Add(-time.Hour)
}

func TestWhoseCertificateARevocationListEnds(t *testing.T) {
	root := newAuthority(t, "root")
	middle, other := root.issueCA("middle", time.Hour), newAuthority(t, "other root")
	alice, _ := root.issue("alice", x509.ExtKeyUsageClientAuth, nil)
	bob, _ := middle.issue("bob", x509.ExtKeyUsageClientAuth, nil)
	carol, _ := other.issue("carol", x509.ExtKeyUsageClientAuth, nil)
	chains := map[string][]*x509.Certificate{"alice": {alice}, "bob": {bob, middle.cert}, "carol": {carol}}
	server := root.serverOptions()
	server.ClientCA = PEM{"clients.pem", certPEM(root.cert, other.cert)}
	future := func(list *x509.RevocationList) { list.ThisUpdate = time.Now().Add(time.Minute) }
	for what, c := range map[string]struct {
		lists [][]byte
		want  map[string]error // nil is acceptance
	}{
		"empty lists of all CAs": {[][]byte{root.revoke(nil), middle.revoke(nil), other.revoke(nil)},
			map[string]error{"alice": nil, "bob": nil, "carol": nil}},
		"a list with alice": {[][]byte{root.revoke(nil, alice), middle.revoke(nil), other.revoke(nil)},
			map[string]error{"alice": ErrRevoked, "bob": nil, "carol": nil}},
		"the serial of alice in a list of another CA": {[][]byte{root.revoke(nil), middle.revoke(nil, alice), other.revoke(nil, alice)},
			map[string]error{"alice": nil, "bob": nil, "carol": nil}},
		"a list with the intermediate CA": {[][]byte{root.revoke(nil, middle.cert), middle.revoke(nil), other.revoke(nil)},
			map[string]error{"alice": nil, "bob": ErrRevoked, "carol": nil}},
		"a list with bob": {[][]byte{root.revoke(nil), middle.revoke(nil, bob), other.revoke(nil)},
			map[string]error{"bob": ErrRevoked}},
		"no list of the intermediate CA": {[][]byte{root.revoke(nil), other.revoke(nil)},
			map[string]error{"alice": nil, "bob": errNoList, "carol": nil}},
		"no list of a root": {[][]byte{root.revoke(nil), middle.revoke(nil)},
			map[string]error{"alice": nil, "bob": nil, "carol": errNoList}},
		"an expired list": {[][]byte{root.revoke(outdated), middle.revoke(nil), other.revoke(nil)},
			map[string]error{"alice": errListNotInTime, "bob": errListNotInTime, "carol": nil}},
		"an expired list with alice": {[][]byte{root.revoke(outdated, alice)},
			map[string]error{"alice": ErrRevoked}},
		"a list that is not valid yet": {[][]byte{root.revoke(future)},
			map[string]error{"alice": errListNotInTime}},
		"an expired list and a new one": {[][]byte{root.revoke(outdated), root.revoke(nil)},
			map[string]error{"alice": nil}},
		"two lists, the second with alice": {[][]byte{root.revoke(nil), root.revoke(nil, alice)},
			map[string]error{"alice": ErrRevoked}},
		"a list of a stranger of the same name": {[][]byte{root.revoke(nil), newAuthority(t, "middle").revoke(nil), other.revoke(nil)},
			map[string]error{"alice": nil, "bob": errNoList}},
		// A CA of the bundle is trusted until it is removed from it.
		"a list with the root itself": {[][]byte{root.revoke(nil, root.cert)},
			map[string]error{"alice": nil}},
	} {
		g := mustNew(t, server.withList(c.lists...))
		for who, want := range c.want {
			name, err := g.Identify(chains[who], time.Now())
			if !errors.Is(err, want) || want == nil && (err != nil || name.Value != who) {
				t.Errorf("Identify %s with %s: got %q, %v; want the error %v", who, what, name.Value, err, want)
			}
		}
	}
}

// Two CAs of different names can have one key. A list of one says nothing about the other.
func TestAListIsOfTheCAThatItNames(t *testing.T) {
	root := newAuthority(t, "root")
	middle := root.issueCA("middle", time.Hour)
	other := *middle
	other.cert = sign(t, caTemplate("other"), root.cert, middle.key.Public(), root.key)
	bob, _ := middle.issue("bob", x509.ExtKeyUsageClientAuth, nil)
	g := mustNew(t, root.serverOptions().withClients(root).withList(root.revoke(nil), other.revoke(nil)))
	if name, err := g.Identify([]*x509.Certificate{bob, middle.cert}, time.Now()); !errors.Is(err, errNoList) {
		t.Errorf("Identify with a list of another CA of the same key: got %q, %v; want the error %v", name.Value, err, errNoList)
	}
}

// RFC 5280 requires the time of the next list, but old CAs leave it out.
func TestAListWithoutAnEndStaysInForce(t *testing.T) {
	now := time.Now()
	list := &revocationList{RevocationList: &x509.RevocationList{ThisUpdate: now}}
	for at, want := range map[time.Time]bool{now.Add(-1): false, now: true, now.AddDate(50, 0, 0): true} {
		if got := list.inForce(at); got != want {
			t.Errorf("inForce at %v of a list from %v on: got %t, want %t", at, now, got, want)
		}
	}
	if got, want := list.period(), "from "+now.Format(time.RFC3339); got != want {
		t.Errorf("period of a list without an end: got %q, want %q", got, want)
	}
	list.NextUpdate = now.Add(time.Hour)
	if got, want := list.period(), "from "+now.Format(time.RFC3339)+" until "+now.Add(time.Hour).Format(time.RFC3339); got != want {
		t.Errorf("period of a list with an end: got %q, want %q", got, want)
	}
	ending := list
	endless := &revocationList{RevocationList: &x509.RevocationList{ThisUpdate: now}}
	g := &Generation{revoked: &revocations{lists: []*revocationList{endless, ending}}}
	if got := g.RevocationLists(); len(got) != 1 || !got[0].NotAfter.Equal(ending.NextUpdate) {
		t.Errorf("RevocationLists of one without an end and one with an end: got %v, want the second", got)
	}
	for _, c := range []struct{ a, b, want time.Time }{
		{time.Time{}, time.Time{}, time.Time{}}, {time.Time{}, now, now}, {now, time.Time{}, now},
		{now, now.Add(1), now}, {now.Add(1), now, now},
	} {
		if got := earlier(c.a, c.b); !got.Equal(c.want) {
			t.Errorf("earlier(%v, %v): got %v, want %v", c.a, c.b, got, c.want)
		}
	}
}

func TestANameEndsWithTheListThatCoversIt(t *testing.T) {
	root := newAuthority(t, "root")
	middle := root.issueCA("middle", 10*time.Hour)
	bob, _ := middle.issue("bob", x509.ExtKeyUsageClientAuth, nil)
	until := func(d time.Duration) func(*x509.RevocationList) {
		return func(list *x509.RevocationList) { list.NextUpdate = time.Now().Add(d) }
	}
	for _, c := range []struct{ root, middle time.Duration }{{time.Hour, 2 * time.Hour}, {2 * time.Hour, time.Hour}} {
		g := mustNew(t, root.serverOptions().withClients(root).withList(root.revoke(until(c.root)), middle.revoke(until(c.middle))))
		name, err := g.Identify([]*x509.Certificate{bob, middle.cert}, time.Now())
		if left := time.Until(name.Until); err != nil || left < 59*time.Minute || left > time.Hour {
			t.Errorf("Identify with lists of %v: got a name for %v, %v; want one for an hour", c, left, err)
		}
		if _, err := g.Identify([]*x509.Certificate{bob, middle.cert}, name.Until.Add(time.Second)); !errors.Is(err, errListNotInTime) {
			t.Errorf("Identify after the end of a list: got the error %v, want %v", err, errListNotInTime)
		}
	}
}

func TestARevokedClientIsRefusedInTheNextHandshakeEvenIfItResumes(t *testing.T) {
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		ca := newAuthority(t, "CA")
		cert, key := ca.issue("alice", x509.ExtKeyUsageClientAuth, nil)
		o := ca.serverOptions().withClients(ca)
		s := newTestServer(t, ca, o.withList(ca.revoke(nil)))
		sessions := tls.NewLRUClientSessionCache(8)
		client := func(c *tls.Config) {
			c.MinVersion, c.MaxVersion, c.ClientSessionCache = version, version, sessions
			c.Certificates = []tls.Certificate{clientCert(cert, key)}
		}
		config := s.config()
		if _, _, err := s.connect(config, client); err != nil {
			t.Fatal(err)
		}
		if state, _, err := s.connect(config, client); err != nil || !state.DidResume {
			t.Fatalf("TLS %#x, connecting again: got resumed %t and the error %v, want a resumed session", version, state.DidResume, err)
		}
		s.current.Store(mustNew(t, o.withList(ca.revoke(nil, cert))))
		if _, _, err := s.connect(config, client); err == nil {
			t.Errorf("TLS %#x, resuming after the revocation: got success, want an error", version)
		}
		if _, _, err := s.connect(config, nil); err != nil {
			t.Errorf("TLS %#x, connecting without a certificate: got the error %v, want none", version, err)
		}
	}
}

func TestListsThatAreRefused(t *testing.T) {
	ca := newAuthority(t, "CA")
	extension := func(id asn1.ObjectIdentifier, critical bool) func(*x509.RevocationList) {
		return func(list *x509.RevocationList) {
			list.ExtraExtensions = []pkix.Extension{{Id: id, Critical: critical, Value: []byte{0x30, 0x00}}}
		}
	}
	entry := func(critical bool) func(*x509.RevocationList) {
		return func(list *x509.RevocationList) {
			list.RevokedCertificateEntries = []x509.RevocationListEntry{{SerialNumber: big.NewInt(1), RevocationTime: time.Now(), ExtraExtensions: []pkix.Extension{{Id: asn1.ObjectIdentifier{2, 5, 29, 29}, Critical: critical, Value: []byte{0x30, 0x00}}}}}
		}
	}
	for what, c := range map[string]struct {
		file []byte
		want string
	}{
		"nothing":                        {nil, "clients.crl: it contains no revocation list"},
		"a list in DER":                  {[]byte("\x30\x82"), "openssl crl -inform DER"},
		"a certificate":                  {certPEM(ca.cert), "clients.crl: PEM block 1 (CERTIFICATE, line 1) is not a revocation list"},
		"a list that is damaged":         {blockOf("X509 CRL", []byte("x")), "clients.crl: PEM block 1 (X509 CRL, line 1): "},
		"half of a list":                 {ca.revoke(nil)[:100], "clients.crl: PEM block 1, which begins on line 1, cannot be decoded"},
		"a list of a CA of equal name":   {newAuthority(t, "CA").revoke(nil), "clients.crl: PEM block 1 (X509 CRL, line 1) was not signed by the client CA CN=CA"},
		"a delta list":                   {ca.revoke(extension(asn1.ObjectIdentifier{2, 5, 29, 27}, true)), "is a delta list"},
		"a delta list by a careless CA":  {ca.revoke(extension(asn1.ObjectIdentifier{2, 5, 29, 27}, false)), "is a delta list"},
		"a list of a part":               {ca.revoke(extension(asn1.ObjectIdentifier{2, 5, 29, 28}, true)), "has an issuing distribution point"},
		"a part, by a careless CA":       {ca.revoke(extension(asn1.ObjectIdentifier{2, 5, 29, 28}, false)), "has an issuing distribution point"},
		"a list with another extension":  {ca.revoke(extension(asn1.ObjectIdentifier{1, 2, 3}, true)), "has a critical extension that is not supported, 1.2.3"},
		"entries of other CAs":           {ca.revoke(entry(true)), "has an entry with a critical extension that is not supported, 2.5.29.29"},
		"entries with a note":            {ca.revoke(entry(false)), ""},
		"a second list that is damaged":  {slices.Concat(ca.revoke(nil), blockOf("X509 CRL", []byte("x"))), "clients.crl: PEM block 2 (X509 CRL, line "},
		"a list with a note, acceptable": {ca.revoke(extension(asn1.ObjectIdentifier{1, 2, 3}, false)), ""},
	} {
		o := ca.serverOptions().withClients(ca)
		o.ClientCRL = PEM{"clients.crl", c.file}
		_, err := New(o)
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("New with %s: got the error %v, want %q", what, err, c.want)
		}
	}
	if _, err := New(ca.serverOptions().withList(ca.revoke(nil))); err == nil || !strings.Contains(err.Error(), "there are no client CAs") {
		t.Errorf("New with lists and no client CA: got the error %v, want one that says so", err)
	}
}

func TestWhatAnOperatorIsWarnedOfInLists(t *testing.T) {
	ca, second := newAuthority(t, "CA"), newAuthority(t, "second")
	o := ca.serverOptions()
	o.ClientCA = PEM{"clients.pem", certPEM(ca.cert, second.cert)}
	for what, c := range map[string]struct {
		lists [][]byte
		want  string
	}{
		"lists of both":        {[][]byte{ca.revoke(nil), second.revoke(nil)}, ""},
		"one list":             {[][]byte{ca.revoke(nil)}, "clients.crl: there is no list of the client CA CN=second; clients whose certificate it signed are refused"},
		"an expired list":      {[][]byte{ca.revoke(nil), second.revoke(outdated)}, "of CN=second is not in force (from "},
		"a list of another CA": {[][]byte{ca.revoke(nil), second.revoke(nil), newAuthority(t, "third").revoke(nil)}, "is of CN=third, which is not among the client CAs"},
	} {
		got := mustNew(t, o.withList(c.lists...)).Warnings()
		if all := strings.Join(got, "\n"); !strings.Contains(all, c.want) || (c.want == "") != (len(got) == 0) {
			t.Errorf("Warnings with %s: got %q, want %q", what, all, c.want)
		}
	}
	a, b := ca.revoke(nil), ca.revoke(nil, ca.cert)
	o = ca.serverOptions().withClients(ca)
	g := mustNew(t, o.withList(a))
	if !g.Equal(mustNew(t, o.withList(a))) || g.Equal(mustNew(t, o.withList(b))) || g.Equal(mustNew(t, o)) {
		t.Error("Equal of generations with the same list, another one and none: got another result than true, false and false")
	}
	if lists := g.RevocationLists(); len(lists) != 1 || lists[0].Role != "client_crl" || lists[0].Subject != "CN=CA" || mustNew(t, o).RevocationLists() != nil {
		t.Errorf("RevocationLists: got %+v, want the list of CN=CA, and none without a file", lists)
	}
}

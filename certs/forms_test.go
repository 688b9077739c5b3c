package certs

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"slices"
	"strings"
	"testing"
)

// served is a server's certificate with an intermediate CA that two roots have signed, as
// operators find them in files of all forms.
type served struct {
	leaf, middle, crossed, root, other *x509.Certificate
	key                                []byte
}

func newServed(t testing.TB) *served {
	root, other := newAuthority(t, "root"), newAuthority(t, "other root")
	middle := root.issueCA("middle", 3600e9)
	crossed := caTemplate("middle")
	leaf, key := middle.issue("localhost", x509.ExtKeyUsageServerAuth, func(c *x509.Certificate) { c.DNSNames = []string{"localhost"} })
	return &served{leaf, middle.cert, sign(t, crossed, other.cert, middle.key.Public(), other.key), root.cert, other.cert, keyPEM(t, key)}
}

// chain reads a file of certificates and returns the chain that is served.
func (s *served) chain(t testing.TB, file []byte) ([]*x509.Certificate, error) {
	t.Helper()
	g, err := New(Options{Certificate: PEM{"server.crt", file}, Key: PEM{"server.key", s.key}})
	if err != nil {
		return nil, err
	}
	var chain []*x509.Certificate
	for _, der := range g.config.Certificates[0].Certificate {
		c, err := x509.ParseCertificate(der)
		if err != nil {
			t.Fatal(err)
		}
		chain = append(chain, c)
	}
	return chain, nil
}

func blockOf(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

func TestAChainInAnyOrderAndFormIsServedInOrder(t *testing.T) {
	s := newServed(t)
	two := []*x509.Certificate{s.leaf, s.middle}
	plain := certPEM(two...)
	request, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{Subject: pkix.Name{CommonName: "x"}}, newKey(t))
	if err != nil {
		t.Fatal(err)
	}
	alias := mustMarshal(t, []string{"a name that openssl shows"})
	for what, c := range map[string]struct {
		file []byte
		want []*x509.Certificate
	}{
		"as it should be":                       {plain, two},
		"the intermediate first":                {certPEM(s.middle, s.leaf), two},
		"the root first":                        {certPEM(s.root, s.leaf, s.middle), []*x509.Certificate{s.leaf, s.middle, s.root}},
		"the leaf last":                         {certPEM(s.root, s.middle, s.leaf), []*x509.Certificate{s.leaf, s.middle, s.root}},
		"the leaf twice":                        {certPEM(s.leaf, s.leaf, s.middle), two},
		"an intermediate twice":                 {certPEM(s.leaf, s.middle, s.leaf, s.middle), two},
		"a cross-signed second intermediate":    {certPEM(s.leaf, s.middle, s.crossed), []*x509.Certificate{s.leaf, s.middle, s.crossed}},
		"both intermediates and both roots":     {certPEM(s.other, s.root, s.crossed, s.middle, s.leaf), []*x509.Certificate{s.leaf, s.crossed, s.middle, s.other, s.root}},
		"a byte order mark":                     {append(bytes.Clone(byteOrderMark), plain...), two},
		"byte order marks of joined files":      {slices.Concat(byteOrderMark, certPEM(s.leaf), byteOrderMark, certPEM(s.middle)), two},
		"lines that end in CR LF":               {bytes.ReplaceAll(plain, []byte("\n"), []byte("\r\n")), two},
		"DH PARAMETERS behind them":             {slices.Concat(plain, blockOf("DH PARAMETERS", []byte("x"))), two},
		"EC PARAMETERS and a key between":       {slices.Concat(certPEM(s.leaf), blockOf("EC PARAMETERS", []byte("x")), s.key, certPEM(s.middle)), two},
		"a request":                             {slices.Concat(blockOf("CERTIFICATE REQUEST", request), plain), two},
		"a request of old openssl":              {slices.Concat(plain, blockOf("NEW CERTIFICATE REQUEST", request)), two},
		"X509 CERTIFICATE":                      {slices.Concat(blockOf("X509 CERTIFICATE", s.leaf.Raw), certPEM(s.middle)), two},
		"TRUSTED CERTIFICATE with nothing more": {slices.Concat(blockOf("TRUSTED CERTIFICATE", s.leaf.Raw), certPEM(s.middle)), two},
		"TRUSTED CERTIFICATE with a name":       {slices.Concat(blockOf("TRUSTED CERTIFICATE", slices.Concat(s.leaf.Raw, alias)), certPEM(s.middle)), two},
		"text of openssl around them":           {slices.Concat([]byte("subject=CN = localhost\n"), certPEM(s.leaf), []byte(" 1 s:CN = middle\n"), certPEM(s.middle), []byte("---\n")), two},
	} {
		got, err := s.chain(t, c.file)
		if err != nil || !slices.EqualFunc(got, c.want, func(a, b *x509.Certificate) bool { return a.Equal(b) }) {
			t.Errorf("the chain in a file with %s: got %s, %v; want %s", what, names(got), err, names(c.want))
		}
	}
}

func names(list []*x509.Certificate) string {
	var text []string
	for _, c := range list {
		text = append(text, c.Subject.CommonName+" by "+c.Issuer.CommonName)
	}
	return strings.Join(text, ", ")
}

func mustMarshal(t testing.TB, value any) []byte {
	t.Helper()
	der, err := asn1.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func TestWhatIsNotAChainIsRefusedWithBlockAndLine(t *testing.T) {
	s := newServed(t)
	stranger := newAuthority(t, "stranger")
	leaf := certPEM(s.leaf)
	damaged := bytes.Replace(certPEM(s.middle), []byte("\nM"), []byte("\n!"), 1)
	for what, c := range map[string]struct {
		file []byte
		want string
	}{
		"a stranger in it":              {certPEM(s.leaf, s.middle, stranger.cert), "server.crt: certificate 3 (line "},
		"the intermediate missing":      {certPEM(s.leaf, s.root), "did not sign certificate 1 (line 1), nor another certificate of its chain"},
		"a damaged block":               {slices.Concat(leaf, damaged), "server.crt: PEM block 2, which begins on line "},
		"a block that is cut off":       {slices.Concat(leaf, certPEM(s.middle)[:100]), "server.crt: PEM block 2, which begins on line "},
		"a message":                     {slices.Concat(leaf, blockOf("PKCS7", []byte("x"))), "server.crt: PEM block 2 (PKCS7, line "},
		"a certificate that is no DER":  {slices.Concat(leaf, blockOf("TRUSTED CERTIFICATE", []byte("x"))), "server.crt: certificate 2 (line "},
		"settings of trust that end":    {slices.Concat(blockOf("TRUSTED CERTIFICATE", append(bytes.Clone(s.leaf.Raw), 0x30))), "server.crt: certificate 1 (line 1): the block is not in DER"},
		"text before a cut block":       {slices.Concat([]byte("one\ntwo\n"), leaf[:100]), "server.crt: PEM block 1, which begins on line 3, cannot be decoded"},
		"text between the blocks":       {slices.Concat([]byte("one\n"), certPEM(stranger.cert)[:100], []byte("\n")), "server.crt: PEM block 1, which begins on line 2, cannot be decoded"},
		"text in UTF-16":                {[]byte("\xff\xfe-\x00-\x00"), "server.crt: the text is in UTF-16"},
		"text before the block's begin": {slices.Concat([]byte("x "), leaf), "server.crt: PEM block 1 begins in the middle of line 1"},
	} {
		if got, err := s.chain(t, c.file); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("the chain in a file with %s: got %s, %v; want an error with %q", what, names(got), err, c.want)
		}
	}
}

func TestTheKeyOfTheCertificateIsFoundAmongOthers(t *testing.T) {
	s := newServed(t)
	other, encrypted := keyPEM(t, newKey(t)), blockOf("ENCRYPTED PRIVATE KEY", []byte("x"))
	for what, c := range map[string]struct {
		keys []byte
		want string // of an error
	}{
		"the same key twice":       {slices.Concat(s.key, s.key), ""},
		"another key before it":    {slices.Concat(other, s.key), ""},
		"another key behind it":    {slices.Concat(s.key, other), ""},
		"an encrypted key as well": {slices.Concat(encrypted, s.key), ""},
		"a byte order mark":        {slices.Concat(byteOrderMark, s.key), ""},
		"two other keys":           {slices.Concat(other, keyPEM(t, newKey(t))), "server.key: the key does not belong to the certificate in server.crt"},
		"an encrypted other key":   {slices.Concat(other, encrypted), "server.key: the private key is encrypted: PEM block 2 (ENCRYPTED PRIVATE KEY, line 6)"},
	} {
		_, err := New(Options{Certificate: PEM{"server.crt", certPEM(s.leaf)}, Key: PEM{"server.key", c.keys}})
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("New with %s in the file of the key: got the error %v, want %q", what, err, c.want)
		}
	}
}

func TestCertificatesSignedWithRSAPSSAreServedAndKeysForItAloneAreRefused(t *testing.T) {
	ca := newAuthority(t, "CA")
	signer, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	root := caTemplate("PSS root")
	root.SignatureAlgorithm = x509.SHA256WithRSAPSS
	rootCert := sign(t, root, root, signer.Public(), signer)
	leaf := template("localhost")
	leaf.DNSNames, leaf.SignatureAlgorithm = []string{"localhost"}, x509.SHA256WithRSAPSS
	key := newKey(t)
	leafCert := sign(t, leaf, rootCert, key.Public(), signer)
	if _, err := New(Options{Certificate: PEM{"server.crt", certPEM(leafCert, rootCert)}, Key: PEM{"server.key", keyPEM(t, key)}}); err != nil {
		t.Errorf("New with a chain that is signed with RSA-PSS: got the error %v, want none", err)
	}
	// Only the algorithm tells this key from an ordinary one.
	pss := struct {
		Version   int
		Algorithm pkix.AlgorithmIdentifier
		Key       []byte
	}{0, pkix.AlgorithmIdentifier{Algorithm: asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 10}}, x509.MarshalPKCS1PrivateKey(signer)}
	o := ca.serverOptions()
	o.Key.Data = blockOf("PRIVATE KEY", mustMarshal(t, pss))
	if _, err := New(o); err == nil || !strings.Contains(err.Error(), "server.key: the private key is for RSA-PSS only: PEM block 1 (PRIVATE KEY, line 1)") {
		t.Errorf("New with a key for RSA-PSS alone: got the error %v, want one that says so", err)
	}
}

func TestABundleMayHaveTheFormsOfOtherProgramsButNoSettingsOfTrust(t *testing.T) {
	ca := newAuthority(t, "CA")
	o := ca.serverOptions()
	serverAuth := asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 3, 1}
	uses := struct{ Trust []asn1.ObjectIdentifier }{[]asn1.ObjectIdentifier{serverAuth}}
	refused := struct {
		Reject []asn1.ObjectIdentifier `asn1:"tag:0"`
	}{[]asn1.ObjectIdentifier{serverAuth}}
	for what, c := range map[string]struct {
		bundle []byte
		want   string
	}{
		"a byte order mark":          {slices.Concat(byteOrderMark, certPEM(ca.cert)), ""},
		"the CA twice":               {certPEM(ca.cert, ca.cert), ""},
		"a certificate of openssl":   {blockOf("TRUSTED CERTIFICATE", ca.cert.Raw), ""},
		"settings of accepted uses":  {blockOf("TRUSTED CERTIFICATE", slices.Concat(ca.cert.Raw, mustMarshal(t, uses))), "clients.pem: certificate 1 (line 1) carries openssl's settings of trust"},
		"settings of refused uses":   {blockOf("TRUSTED CERTIFICATE", slices.Concat(ca.cert.Raw, mustMarshal(t, refused))), "clients.pem: certificate 1 (line 1) carries openssl's settings of trust"},
		"a revocation list":          {slices.Concat(certPEM(ca.cert), blockOf("X509 CRL", []byte("x"))), "is a revocation list (hint: name a file with the lists in tls.client_crl"},
		"the bundle and half a CA":   {slices.Concat(certPEM(ca.cert), certPEM(ca.cert)[:100]), "clients.pem: PEM block 2, which begins on line 11, cannot be decoded"},
		"a certificate of no DER":    {slices.Concat(certPEM(ca.cert), blockOf("CERTIFICATE", []byte("x"))), "clients.pem: certificate 2 (line 11): "},
		"a request instead of a CA":  {blockOf("CERTIFICATE REQUEST", []byte("x")), "clients.pem: it contains no certificate"},
		"settings with a name":       {blockOf("TRUSTED CERTIFICATE", slices.Concat(ca.cert.Raw, []byte{0x30, 0x03, 0x0c, 0x01, 'a'})), ""},
		"settings of other kinds":    {blockOf("TRUSTED CERTIFICATE", slices.Concat(ca.cert.Raw, []byte{0x30, 0x02, 0xa1, 0x00})), ""},
		"settings of unknown kinds":  {blockOf("TRUSTED CERTIFICATE", slices.Concat(ca.cert.Raw, []byte{0x30, 0x04, 0xb0, 0x00, 0x00, 0x00})), ""},
		"settings that are cut off":  {blockOf("TRUSTED CERTIFICATE", slices.Concat(ca.cert.Raw, []byte{0x30, 0x03, 0x0c, 0x02, 'a'})), "the block is not in DER"},
		"no settings, nor DER":       {blockOf("TRUSTED CERTIFICATE", []byte("x")), "certificate 1 (line 1): the block is not in DER"},
		"bytes behind a certificate": {blockOf("CERTIFICATE", slices.Concat(ca.cert.Raw, []byte{0x30, 0x00})), "clients.pem: certificate 1 (line 1): "},
		"settings that are no DER":   {blockOf("TRUSTED CERTIFICATE", slices.Concat(ca.cert.Raw, []byte{0x30, 0x02, 0x30})), "the block is not in DER"},
		"settings of one byte":       {blockOf("TRUSTED CERTIFICATE", slices.Concat(ca.cert.Raw, []byte{0x30, 0x01, 0x30})), "the block is not in DER"},
		"settings of another kind":   {blockOf("TRUSTED CERTIFICATE", slices.Concat(ca.cert.Raw, []byte{0x04, 0x00})), "the block is not in DER"},
		"settings with bytes behind": {blockOf("TRUSTED CERTIFICATE", slices.Concat(ca.cert.Raw, []byte{0x30, 0x00, 0x00})), "the block is not in DER"},
	} {
		o.ClientCA = PEM{"clients.pem", c.bundle}
		_, err := New(o)
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("New with %s in the bundle: got the error %v, want %q", what, err, c.want)
		}
	}
}

func TestRootsThatCannotBeUsedAreWarningsWhileOthersCan(t *testing.T) {
	ca := newAuthority(t, "CA")
	broken, cut := blockOf("CERTIFICATE", []byte("x")), certPEM(ca.cert)[:100]
	for what, c := range map[string]struct {
		file     []byte
		warnings string
		err      string
	}{
		"good ones":           {certPEM(ca.cert), "", ""},
		"a broken one":        {slices.Concat(certPEM(ca.cert), broken), "ca.pem: PEM block 2 (CERTIFICATE, line 11) is not used: ", ""},
		"a key":               {slices.Concat(certPEM(ca.cert), blockOf("PRIVATE KEY", []byte("x"))), "", ""},
		"settings of trust":   {slices.Concat(certPEM(ca.cert), blockOf("TRUSTED CERTIFICATE", slices.Concat(ca.cert.Raw, []byte{0x30, 0x02, 0x30, 0x00}))), "ca.pem: PEM block 2 (TRUSTED CERTIFICATE, line 11) is not used: it carries openssl's settings of trust", ""},
		"only such settings":  {blockOf("TRUSTED CERTIFICATE", slices.Concat(ca.cert.Raw, []byte{0x30, 0x02, 0x30, 0x00})), "", "ca.pem: it contains no usable certificate"},
		"one that is cut off": {slices.Concat(certPEM(ca.cert), cut), "ca.pem: PEM block 2, which begins on line 11, cannot be decoded", ""},
		"only a broken one":   {broken, "", "ca.pem: it contains no usable certificate"},
		"only a cut one":      {cut, "", "ca.pem: PEM block 1, which begins on line 1, cannot be decoded"},
		"nothing":             {nil, "", "ca.pem: it contains no usable certificate"},
	} {
		pool, warnings, err := Roots(PEM{"ca.pem", c.file})
		if c.err != "" {
			if err == nil || !strings.Contains(err.Error(), c.err) || pool != nil {
				t.Errorf("Roots of a file with %s: got %v and the error %v, want no pool and %q", what, pool, err, c.err)
			}
			continue
		}
		all := strings.Join(warnings, "\n")
		if err != nil || !strings.Contains(all, c.warnings) || c.warnings == "" && all != "" {
			t.Errorf("Roots of a file with %s: got the warnings %q and the error %v, want %q and none", what, all, err, c.warnings)
			continue
		}
		if _, err := ca.cert.Verify(x509.VerifyOptions{Roots: pool}); err != nil {
			t.Errorf("Roots of a file with %s: the CA is not among them: %v", what, err)
		}
	}
}

package main

import (
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/siteimport"
	"etcd-tlsproxy/proxy/proxytest"
)

// oddRequests reads the corpus: quoted requests, with words in braces for credentials and
// bodies.
func oddRequests(t *testing.T) []string {
	t.Helper()
	data, err := os.ReadFile("testdata/odd-requests.txt")
	if err != nil {
		t.Fatal(err)
	}
	basic := func(text string) string {
		return "Authorization: Basic " + base64.StdEncoding.EncodeToString([]byte(text))
	}
	words := strings.NewReplacer("{root}", basic("root:root-1")+"\r\n", "{conftool}", basic("conftool:conftool-1")+"\r\n", "{wrong}", basic("root:x")+"\r\n",
		"{empty}", basic("root:")+"\r\n", "{basic}", basic("root:root-1"), "{nul}", basic("root:root-1\x00x")+"\r\n", "{host}", "Host: localhost\r\n",
		"{form}", "Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 7\r\n\r\nvalue=1", "{many}", strings.Repeat("X-A: b\r\n", 120))
	var all []string
	for line := range strings.Lines(string(data)) {
		line = strings.TrimSuffix(line, "\n")
		if line == "" || line[0] == '#' {
			continue
		}
		text, err := strconv.Unquote(`"` + strings.ReplaceAll(line, `"`, `\"`) + `"`)
		if err != nil {
			t.Fatalf("odd-requests.txt: %q: %v", line, err)
		}
		all = append(all, words.Replace(text))
	}
	return all
}

// following ends every connection, also if a request lacks bytes: they are taken from here.
var following = strings.Repeat("GET /v2/keys/end HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", 70)

// sendOdd sends a request on a connection of its own and returns its outcome.
func sendOdd(addr string, config *tls.Config, text string) (string, error) {
	c, err := proxytest.DialRaw(addr, config)
	if err != nil {
		return "", err
	}
	defer c.Close()
	if err := c.Send(text + following); err != nil {
		return "closed", nil // it was refused while it was being sent
	}
	method, _, _ := strings.Cut(strings.TrimLeft(text, "\r\n"), " ")
	for {
		a, err := c.Head()
		if err == nil && a.Status == 100 {
			continue
		}
		if err == nil {
			err = c.ReadBody(a, method)
		}
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded):
			return "", fmt.Errorf("%q got no answer: %w", text, err)
		case err != nil:
			return "closed", nil
		}
		if _, byEtcd := a.Field("X-Etcd-Cluster-Id"); method == "HEAD" && a.Status >= 400 && !byEtcd {
			return fmt.Sprint("status ", a.Status), nil // there is no body to tell whose answer it is
		}
		return outcomeOf(a), nil
	}
}

// odd compares nginx with the proxy imported from it.
type odd struct {
	nginx, proxy string
	config       *tls.Config
	differences  []siteimport.Difference
	met          map[string]int // by class
	alike        int
}

func newOdd(t *testing.T) *odd {
	t.Helper()
	p := newProfile(t)
	p.prefixes = p.prefixes[:3]
	nginx, pki := p.start(t)
	file := filepath.Join(t.TempDir(), "etcd-tlsproxy.toml")
	report := imported(t, "--nginx", p.path("nginx.conf"), "--write", file)
	s := startImported(t, file, nginx)
	return &odd{
		nginx: nginx.Addr, proxy: strings.TrimPrefix(s.URL, "https://"), differences: report.Differences, met: map[string]int{},
		// Each request is one TLS record, so that no server closes while a part of it is unread.
		config: &tls.Config{RootCAs: pki.Pool(), ServerName: "localhost", ClientSessionCache: tls.NewLRUClientSessionCache(8), DynamicRecordSizingDisabled: true},
	}
}

// compare sends a request to both and returns the difference that no line of the report
// describes, or "".
func (o *odd) compare(t *testing.T, text string) string {
	t.Helper()
	before, err := sendOdd(o.nginx, o.config, text)
	if err != nil {
		t.Fatalf("nginx: %v", err)
	}
	now, err := sendOdd(o.proxy, o.config, text)
	if err != nil {
		t.Fatalf("the proxy: %v", err)
	}
	refused := func(outcome string) bool { return strings.HasPrefix(outcome, "status") || outcome == "closed" }
	if strings.HasPrefix(text, "POST") && strings.HasPrefix(before, "key ") && strings.HasPrefix(now, "key ") {
		before, now = filepath.Dir(before), filepath.Dir(now) // each POST creates a key with its own name
	}
	if before == now || refused(before) && refused(now) {
		o.alike++
		return ""
	}
	effect := siteimport.Answered
	switch {
	case refused(before):
		effect = siteimport.Allowed
	case refused(now):
		effect = siteimport.Refused
	}
	reasons := o.reasons(text, effect)
	if len(reasons) == 0 {
		return fmt.Sprintf("%s: %q: nginx: %s, the proxy: %s", effect, text, before, now)
	}
	for _, class := range reasons {
		o.met[class]++
	}
	return ""
}

// reasons returns the classes of listed differences that fit a request and an effect.
func (o *odd) reasons(text, effect string) []string {
	var fitting []string
	for _, d := range o.differences {
		if d.Effect != effect && d.Effect != siteimport.Answered {
			continue
		}
		if fits := oddReasons[d.Class]; fits != nil && !slices.Contains(fitting, d.Class) && fits(parseOdd(text)) {
			fitting = append(fitting, d.Class)
		}
	}
	return fitting
}

// TestEveryOddRequest sends the corpus and some mutations of it to real nginx and to the
// proxy that is imported from its configuration.
func TestEveryOddRequestIsAnsweredAsByNginxButForWhatImportLists(t *testing.T) {
	o := newOdd(t)
	corpus := oddRequests(t)
	for _, text := range corpus {
		if difference := o.compare(t, text); difference != "" {
			t.Errorf("import listed no difference for %s", difference)
		}
	}
	t.Logf("corpus of %d: %d alike, different by class: %v", len(corpus), o.alike, o.met)
	for class := range maps.Keys(oddReasons) {
		if listed := slices.ContainsFunc(o.differences, func(d siteimport.Difference) bool { return d.Class == class }); listed && o.met[class] == 0 {
			t.Errorf("no request of the corpus was of the listed class %s, want at least one", class)
		}
	}
	mutations := 300
	if n, err := strconv.Atoi(os.Getenv("ETCD_TLSPROXY_TEST_MUTATIONS")); err == nil {
		mutations = n
	}
	random := rand.New(rand.NewPCG(1, 2))
	for range mutations {
		if difference := o.compare(t, mutate(random, corpus)); difference != "" {
			t.Errorf("import listed no difference for %s", difference)
		}
	}
	t.Logf("with %d mutations: %d alike, different by class: %v", mutations, o.alike, o.met)
}

// mutate changes a request of the corpus, or joins the parts of two.
func mutate(random *rand.Rand, corpus []string) string {
	for {
		text := corpus[random.IntN(len(corpus))]
		for range 1 + random.IntN(3) {
			text = mutateOnce(random, text, corpus[random.IntN(len(corpus))])
		}
		if !dangerous(text) {
			return text
		}
	}
}

func mutateOnce(random *rand.Rand, text, other string) string {
	at := func(s string) int { return random.IntN(len(s) + 1) }
	pieces := []string{"\r\n", "\n", "\r", " ", "\t", "\x00", ":", "/", "//", "%2f", "%", "..", ".", "?", "#", "&", ";", "=", "_", "-", "X-A: b\r\n", "Host: localhost\r\n", "Content-Length: 7\r\n",
		"Transfer-Encoding: chunked\r\n", "Connection: close\r\n", "HTTP/1.0", "\xff", "a", "0", "7", "A"}
	i := at(text)
	switch random.IntN(6) {
	case 0: // insert
		return text[:i] + pieces[random.IntN(len(pieces))] + text[i:]
	case 1: // remove
		return text[:i] + text[min(len(text), i+1+random.IntN(4)):]
	case 2: // replace
		return text[:i] + pieces[random.IntN(len(pieces))] + text[min(len(text), i+1):]
	case 3: // repeat a line
		lines := strings.SplitAfter(text, "\r\n")
		k := random.IntN(len(lines))
		return strings.Join(slices.Insert(slices.Clone(lines), k, lines[k]), "")
	case 4: // a line of another request
		lines, others := strings.SplitAfter(text, "\r\n"), strings.SplitAfter(other, "\r\n")
		return strings.Join(slices.Insert(slices.Clone(lines), random.IntN(len(lines)), others[random.IntN(len(others))]), "")
	default: // the beginning of one and the end of another
		return text[:i] + other[at(other):]
	}
}

// dangerous reports whether a request could wait for an event or for more bytes than
// follow, or stop etcd.
func dangerous(text string) bool {
	lower := strings.ToLower(text)
	for _, word := range []string{"wait", "members/1f", "enable"} {
		if strings.Contains(lower, word) && !strings.HasPrefix(text, "DELETE /v2/keys/conftool/0/members/1f/attributes ") {
			return true
		}
	}
	// Lengths of four digits are longer than what follows.
	for line := range strings.Lines(lower) {
		run := 0
		for _, c := range line {
			if run++; !strings.ContainsRune("0123456789abcdef", c) {
				run = 0
			}
			if run > 3 && (strings.Contains(line, "length") || strings.Contains(lower, "chunked") && !strings.Contains(line, ":")) {
				return true
			}
		}
	}
	return false
}

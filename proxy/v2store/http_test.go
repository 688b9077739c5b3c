package v2store_test

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"etcd-tlsproxy/proxy/proxytest"
	"etcd-tlsproxy/proxy/v2store"
)

// TestAnswersEqualEtcdByteForByte sends requests one after another to a real etcd and to this
// package. The index of etcd starts later, so the tree starts at the index of etcd.
func TestAnswersEqualEtcdByteForByte(t *testing.T) {
	etcd, err := proxytest.StartEmbedded(proxytest.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer etcd.Close()
	compareAnswers(t, etcd.URL(), false)
}

// TestAnswersEqualEtcd34ByteForByte does the same with Debian's etcd, which updates directories.
func TestAnswersEqualEtcd34ByteForByte(t *testing.T) {
	path, version, ok := proxytest.FindEtcd()
	if !ok || !strings.HasPrefix(version, "3.4.") {
		t.Skipf("etcd 3.4 is not installed, found %q", version)
	}
	etcd, err := proxytest.StartProcess(path, proxytest.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer etcd.Close()
	compareAnswers(t, etcd.URL(), true)
}

// server is a real etcd and the tree that follows it.
type server struct {
	*testing.T
	url  string
	tree *v2store.Tree
}

func compareAnswers(t *testing.T, address string, updatesDirs bool) {
	answer, err := http.Get(address + "/v2/keys/")
	if err != nil {
		t.Fatal(err)
	}
	_ = answer.Body.Close()
	index, err := strconv.ParseUint(answer.Header.Get("X-Etcd-Index"), 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	r := &server{t, address, v2store.New(index)}
	for _, line := range strings.Split(strings.TrimSpace(script), "\n") {
		r.compare(line)
	}
	if updatesDirs {
		r.compare("PUT /d?prevExist=true&ttl=1000")
		r.compare("PUT /d?prevExist=true&refresh=true&ttl=1000")
		r.compare("PUT /d?prevExist=true")
		r.compare("GET /d")
	}
}

// compare sends one request: method, path with query, and perhaps a body.
func (r *server) compare(line string) {
	r.Helper()
	fields := strings.Fields(line)
	target, err := url.Parse("/v2/keys" + fields[1])
	if err != nil {
		r.Fatal(err)
	}
	q := &v2store.Request{Method: fields[0], Path: strings.TrimPrefix(target.Path, "/v2/keys"), Query: target.RawQuery}
	if len(fields) > 2 {
		q.Body, q.ContentType = fields[2], "application/x-www-form-urlencoded"
	}
	request, err := http.NewRequest(q.Method, r.url+target.String(), strings.NewReader(q.Body))
	if err != nil {
		r.Fatal(err)
	}
	if q.ContentType != "" {
		request.Header.Set("Content-Type", q.ContentType)
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		r.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		r.Fatal(err)
	}
	got := r.answer(q)
	if q.Method == "HEAD" {
		got.Body = nil
	}
	g, w := fmt.Sprintf("%d %s", got.Status, got.Body), fmt.Sprintf("%d %s", answer.StatusCode, body)
	if times.ReplaceAllString(g, "") != times.ReplaceAllString(w, "") {
		r.Errorf("%s\n got %s\nwant %s", line, g, w)
	}
	r.compareFields(line, got, answer.Header)
}

func (r *server) compareFields(line string, got v2store.Answer, want http.Header) {
	r.Helper()
	number := func(name string, base int) uint64 {
		n, _ := strconv.ParseUint(want.Get(name), base, 64)
		return n
	}
	// The proxy removes the fields of CORS.
	for _, name := range []string{"Date", "Content-Length", "Access-Control-Allow-Headers", "Access-Control-Allow-Methods",
		"Access-Control-Allow-Origin"} {
		want.Del(name)
	}
	fields := got.Fields(v2store.Cluster{ID: number("X-Etcd-Cluster-Id", 16), RaftIndex: number("X-Raft-Index", 10), RaftTerm: number("X-Raft-Term", 10)})
	if len(fields) != len(want) {
		r.Errorf("%s: got the fields %v, want %v", line, fields, want)
	}
	for _, field := range fields {
		if got, want := []string{field[1]}, want[field[0]]; !slices.Equal(got, want) {
			r.Errorf("%s: got %s %v, want %v", line, field[0], got, want)
		}
	}
}

// answer performs a request on the tree.
func (r *server) answer(q *v2store.Request) v2store.Answer {
	r.Helper()
	now := time.Now()
	o, failure := v2store.Parse(q, now)
	if failure != nil {
		return failure.Answer()
	}
	if o.Action == v2store.Get {
		e, failure := r.tree.Get(o, now)
		if failure != nil {
			return failure.Answer()
		}
		return e.Answer(o)
	}
	c, failure := v2store.Plan(o, r.tree, now)
	if failure != nil {
		return failure.Answer()
	}
	e, err := r.tree.Apply(c, r.tree.Index()+1)
	if err != nil {
		r.Fatal(err)
	}
	return e.Answer(o)
}

// times are the fields that depend on the clock of etcd.
var times = regexp.MustCompile(`"(expiration":"[^"]*"|ttl":\d+),`)

// script has the requests that do not update directories.
const script = `
GET /
GET /?recursive=true&sorted=true
HEAD /
GET /a
HEAD /a
PUT /a?value=1
PUT /a value=%3Cb%3E%26%22%E2%80%A8%5C%01%FF
GET /a
PUT /a/b?value=1
GET /a/b/c
PUT /
PUT /?dir=true
PUT /?prevExist=true&value=1
PUT /?prevIndex=1&value=1
DELETE /?recursive=true
DELETE /?prevIndex=3
DELETE /?prevValue=x
POST / value=root
POST /q value=1
POST /q?dir=true
GET /q?sorted=true
POST /a value=1
PUT /d?dir=true
PUT /d?dir=true
PUT /d?value=1
PUT /d/e/f/g?value=deep
PUT /d/_hidden?value=1
GET /d?recursive=true&sorted=true
GET /d/_hidden
DELETE /d
DELETE /d?dir=true
PUT /e?dir=true&prevExist=false
PUT /e?dir=true&prevExist=false
DELETE /e?dir=true
PUT /n?value=1&prevExist=true
PUT /n?value=1&prevExist=false
PUT /n?value=1&prevExist=false
PUT /n?value=2&prevExist=true
PUT /n?value=3&prevValue=1
PUT /n?value=3&prevIndex=1
PUT /n?value=3&prevIndex=1&prevValue=1
PUT /n?value=3&prevValue=2
PUT /n?value=3&prevIndex=0
PUT /n?value=3&noValueOnSuccess=true
PUT /n?value=3&noValueOnSuccess=true&prevExist=true
DELETE /n?prevValue=1
DELETE /n?prevIndex=0&noValueOnSuccess=true
PUT /n?value=%2b+&dir=FALSE value=body&value=second
PUT /n?dir=true
DELETE /n/?recursive=T
PUT /u%2520x/%C3%A9?value=1
GET /u%2520x
PUT /_?value=1
GET /_
GET /a?recursive=yes
GET /a?recursive
GET /a?sorted=
GET /a?wait=maybe
GET /a?quorum=true&wait=true
HEAD /a?wait=true
PUT /a?wait=true
GET /a?waitIndex=x
GET /a?prevIndex=-1
GET /a?prevValue=
GET /a?prevExist=
GET /a?stream=2
GET /a?dir=2
GET /a?noValueOnSuccess=2
GET /a?ttl=x
GET /a?ttl=
GET /a?a=%zz
GET /a?a;b
GET /a?refresh=2
PUT /a?refresh=true
PUT /a?refresh=true&value=1&ttl=5
PUT /a?refresh=true&value=&ttl=
PUT /missing?refresh=true&ttl=5
PUT /a/missing?refresh=true&ttl=5
PUT /a ttl=x&value=1
DELETE /a value=1&prevValue=2
`

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
	url     string
	tree    *v2store.Tree
	history *v2store.History
	watched int
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
	r := &server{t, address, v2store.New(index), v2store.NewHistory(index + 1), 0}
	for _, line := range strings.Split(strings.TrimSpace(script), "\n") {
		r.compare(line)
	}
	for _, path := range []string{"/", "/a", "/d", "/n", "/e/below", "/d/_hidden"} {
		for since := index + 1; since <= r.tree.Index(); since++ {
			r.compareLate(path, since)
		}
	}
	if r.watched < 50 {
		t.Errorf("%d late watches were compared, want 50 or more", r.watched)
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
	switch o.Action {
	case v2store.Watch:
		a, _ := r.late(o)
		return a
	case v2store.Get:
		e, failure := r.tree.Get(o, now)
		if failure != nil {
			return failure.Answer()
		}
		return e.Answer(o)
	}
	return r.write(o, now)
}

func (r *server) write(o *v2store.Operation, now time.Time) v2store.Answer {
	r.Helper()
	c, failure := v2store.Plan(o, r.tree, now)
	if failure != nil {
		return failure.Answer()
	}
	e, err := r.tree.Apply(c, r.tree.Index()+1)
	if err != nil {
		r.Fatal(err)
	}
	r.history.Add(e)
	return e.Answer(o)
}

// late answers a watch from the history, if it has an event.
func (r *server) late(o *v2store.Operation) (a v2store.Answer, heard bool) {
	deliver := func(e *v2store.Event) { a, heard = v2store.WatchHead(r.tree.Index()), true; a.Body = e.Body() }
	if _, failure := v2store.NewWatches().Start(o, r.tree, r.history, receive(deliver)); failure != nil {
		return failure.Answer(), true
	}
	return a, heard
}

// compareLate compares two watches from an index, if the history has an event for them.
func (r *server) compareLate(path string, since uint64) {
	for _, query := range []string{"wait=true", "wait=true&recursive=true"} {
		query += fmt.Sprintf("&waitIndex=%d", since)
		o, failure := v2store.Parse(&v2store.Request{Method: "GET", Path: path, Query: query}, time.Now())
		if failure != nil || o.Action != v2store.Watch {
			r.Fatalf("%s: got the operation %+v and the error %v, want a watch", query, o, failure)
		}
		if _, heard := r.late(o); heard {
			r.compare("GET " + path + "?" + query)
			r.watched++
		}
	}
}

// times are the fields that depend on the clock of etcd.
var times = regexp.MustCompile(`"(expiration":"[^"]*"|ttl":\d+),`)

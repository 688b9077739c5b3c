package shadow

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"etcd-tlsproxy/proxy/http1"
	"etcd-tlsproxy/proxy/proxytest"
	"etcd-tlsproxy/proxy/proxytest/direct"
	"etcd-tlsproxy/proxy/upstream"
	"etcd-tlsproxy/proxy/v2store"
	"etcd-tlsproxy/proxy/v2v3"
	"etcd-tlsproxy/proxy/v2v3/rpc"
)

// prefix is that of the copy.
const prefix = "rehearsal"

// fixture is a shadow of an embedded etcd, whose copy is in the v3 store of the same one.
type fixture struct {
	*testing.T
	*Shadow
	etcd *proxytest.Embedded
	// link carries the connections of the shadow to the v3 store, and v2 those to the v2 API.
	link, v2 *proxytest.Link

	client *rpc.Client
}

func start(t *testing.T) *fixture {
	t.Helper()
	etcd, err := proxytest.StartEmbedded(proxytest.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(etcd.Close)
	f := &fixture{T: t, etcd: etcd}
	if f.client, err = rpc.New([]rpc.Endpoint{{Addr: f.address(etcd.URL())}}, "", ""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(f.client.Close)
	if f.link, err = proxytest.NewLink(f.address(etcd.URL())); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(f.link.Close)
	if f.v2, err = proxytest.NewLink(f.address(etcd.URL())); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(f.v2.Close)
	f.copy()
	f.Shadow = f.open()
	return f
}

func (f *fixture) address(of string) string {
	f.Helper()
	at, err := url.Parse(of)
	if err != nil {
		f.Fatal(err)
	}
	return at.Host
}

// open opens a shadow that compares everything.
func (f *fixture) open() *Shadow {
	f.Helper()
	at, err := upstream.ParseEndpoint(f.v2.URL())
	if err != nil {
		f.Fatal(err)
	}
	pool, err := upstream.New(upstream.Options{Endpoints: []upstream.Endpoint{at}})
	if err != nil {
		f.Fatal(err)
	}
	log := slog.New(slog.NewTextHandler(f.Output(), nil))
	s, err := Open(Options{Pool: pool, Sample: 1, Log: log, Store: v2v3.Options{
		Endpoints: []v2v3.Endpoint{{Addr: f.address(f.link.URL())}}, Prefix: prefix, Timeout: 10 * time.Second, Log: log}})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(s.Close)
	return s
}

// copy makes the copy of a rehearsal of a v2 store without keys.
func (f *fixture) copy() {
	f.Helper()
	if err := direct.Copy(v2v3.Endpoint{Addr: f.address(f.etcd.URL())}, prefix, f.do(nil, "GET /").index); err != nil {
		f.Fatal(err)
	}
}

// reply is an answer of the v2 API.
type reply struct {
	status int
	index  uint64
	body   []byte
}

// do sends a request to the v2 API, and hands the answer over to shadows.
func (f *fixture) do(to []*Shadow, request string) reply {
	f.Helper()
	method, target, _ := strings.Cut(request, " ")
	path, query, _ := strings.Cut(target, "?")
	return f.send(to, &v2store.Request{Method: method, Path: path, Query: query})
}

// write sends a write, and lets the shadow read its event only when the answer waits for it. Otherwise the event may be
// the faster one, and the answer is skipped.
func (f *fixture) write(request string) reply {
	f.Helper()
	f.v2.Cut()
	defer f.v2.Mend()
	r := f.do([]*Shadow{f.Shadow}, request)
	f.eventually("the answer waits for its event", func() bool {
		f.mu.Lock()
		defer f.mu.Unlock()
		return len(f.waiting) > 0
	})
	return r
}

func (f *fixture) send(to []*Shadow, r *v2store.Request) reply {
	f.Helper()
	var samples []*Sample
	for _, s := range to {
		samples = append(samples, s.Begin(r.Method, r.Path, r.Query, r.ContentType, []byte(r.Body)))
	}
	at := f.etcd.URL() + "/v2/keys" + (&url.URL{Path: r.Path}).EscapedPath() + "?" + r.Query
	req, err := http.NewRequestWithContext(f.Context(), r.Method, at, strings.NewReader(r.Body))
	if err != nil {
		f.Fatal(err)
	}
	if r.ContentType != "" {
		req.Header.Set("Content-Type", r.ContentType)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		f.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		f.Fatal(err)
	}
	fields := []http1.Field{{Name: "X-Etcd-Index", Value: resp.Header.Get("X-Etcd-Index")}}
	for _, a := range samples {
		if a != nil {
			a.Answered(resp.StatusCode, fields, body)
		}
	}
	return reply{resp.StatusCode, indexOfHead(fields), body}
}

// eventually waits until a condition holds.
func (f *fixture) eventually(what string, holds func() bool) {
	f.Helper()
	ctx, cancel := context.WithTimeout(f.Context(), 30*time.Second)
	defer cancel()
	for !holds() {
		select {
		case <-ctx.Done():
			f.Fatalf("after 30 s it is still not so that %s: %+v", what, f.Status())
		case <-time.After(time.Millisecond):
		}
	}
}

// follow waits until a shadow appends.
func (f *fixture) follow() {
	f.Helper()
	f.eventually("the shadow appends", func() bool { st := f.Status(); return st.Following && st.Appends })
}

// total returns what became of samples.
func total(st Status) (n int64) {
	n = st.ComparedReads + st.ComparedWrites
	for _, skipped := range st.Skipped {
		n += skipped
	}
	return n
}

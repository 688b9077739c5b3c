package migration

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/cluster"
	"etcd-tlsproxy/proxy/proxytest"
	"etcd-tlsproxy/proxy/v2v3"
	"etcd-tlsproxy/proxy/v2v3/rpc"
)

func TestMain(m *testing.M) {
	proxytest.WaitTogether()
	proxytest.VerifyNoLeaks(m)
}

// fixture is an etcd that has both stores, and a rehearsal of it.
type fixture struct {
	*Rehearsal
	t      *testing.T
	url    string
	client *rpc.Client
	// imported is called when nodes were imported or removed.
	imported func()
}

func start(t *testing.T, o proxytest.Options) *fixture {
	t.Helper()
	o.Dir = t.TempDir()
	e, err := proxytest.StartEmbedded(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Close)
	return fixtureOf(t, o.Dir, e.URL())
}

// fixtureOf is a rehearsal of a cluster, with the data folder of the first of its members.
func fixtureOf(t *testing.T, dir string, urls ...string) *fixture {
	t.Helper()
	var endpoints []rpc.Endpoint
	for _, url := range urls {
		endpoints = append(endpoints, rpc.Endpoint{Addr: strings.TrimPrefix(url, "http://")})
	}
	client, err := rpc.New(endpoints, "", "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	f := &fixture{t: t, url: urls[0], client: client, imported: func() {}}
	f.Rehearsal = &Rehearsal{Connection: cluster.Connection{Endpoints: urls[:1], Timeout: 10 * time.Second}, DataDir: dir,
		Store: v2v3.Options{Endpoints: endpoints, Prefix: "rehearsal", Timeout: 10 * time.Second, Log: slog.New(slog.DiscardHandler)},
		Note:  func(text string) { t.Log(text) },
		Progress: func(string, int64) (func(int64), func()) {
			return func(int64) { f.imported() }, func() {}
		}}
	return f
}

// write writes a key of the v2 store.
func (f *fixture) write(key string, form url.Values) {
	f.t.Helper()
	if status := f.v2write(http.MethodPut, key, form); status > 201 {
		f.t.Fatalf("PUT %s: got the status %d", key, status)
	}
}

// v2write writes to the v2 API, and returns the status.
func (f *fixture) v2write(method, key string, form url.Values) int {
	f.t.Helper()
	return f.v2writeAs("", method, key, form)
}

// v2writeAs is v2write as root, if there is a password.
func (f *fixture) v2writeAs(password, method, key string, form url.Values) int {
	f.t.Helper()
	r, err := http.NewRequest(method, f.url+"/v2/keys"+key, strings.NewReader(form.Encode()))
	if err != nil {
		f.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if password != "" {
		r.SetBasicAuth("root", password)
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		f.t.Fatal(err)
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, resp.Body)
	return resp.StatusCode
}

func value(text string) url.Values { return url.Values{"value": {text}} }

// take reads the v2 store.
func (f *fixture) take() *Content {
	f.t.Helper()
	c, err := f.Take(f.t.Context())
	if err != nil {
		f.t.Fatal(err)
	}
	if c.Differences.Count > 0 {
		f.t.Errorf("the files and the member differ: %+v", c.Differences)
	}
	return c
}

// put puts a key of the v3 store, or deletes it without a value.
func (f *fixture) put(key string, value ...string) {
	f.t.Helper()
	op := &pb.RequestOp{Request: &pb.RequestOp_RequestDeleteRange{RequestDeleteRange: &pb.DeleteRangeRequest{Key: []byte(key)}}}
	if len(value) > 0 {
		op = &pb.RequestOp{Request: &pb.RequestOp_RequestPut{RequestPut: &pb.PutRequest{Key: []byte(key), Value: []byte(value[0])}}}
	}
	if _, err := f.client.Txn(context.Background(), &pb.TxnRequest{Success: []*pb.RequestOp{op}}); err != nil {
		f.t.Fatal(err)
	}
}

// keys returns the keys of the v3 store.
func (f *fixture) keys() (keys []string) {
	f.t.Helper()
	found, err := f.client.Range(context.Background(), &pb.RangeRequest{Key: []byte{0}, RangeEnd: []byte{0}, KeysOnly: true})
	if err != nil {
		f.t.Fatal(err)
	}
	for _, kv := range found.Kvs {
		keys = append(keys, string(kv.Key))
	}
	slices.Sort(keys)
	return keys
}

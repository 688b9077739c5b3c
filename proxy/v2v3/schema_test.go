package v2v3

import (
	"errors"
	"strings"
	"testing"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"etcd-tlsproxy/proxy/v2v3/layout"
	"etcd-tlsproxy/proxy/v2v3/rpc"
)

// putAll puts keys, and marks that the tree was changed as a whole.
func (f *fixture) putAll(c *rpc.Client, pairs map[string]string) {
	f.Helper()
	t := layout.Txn{Keys: f.keys}
	for key, value := range pairs {
		t.Put([]byte(key), []byte(value))
	}
	t.Put(f.keys.Log(), (&layout.Entry{Action: layout.Mark}).Encode())
	if _, err := c.Txn(testContext(f.T), &pb.TxnRequest{Success: t.Success}); err != nil {
		f.Fatal(err)
	}
	if err := f.reachNow(c); err != nil {
		f.Fatal(err)
	}
}

// TestAnUpdateKeepsTheFieldsOfANewerLayout has records with a field that this program does not know.
func TestAnUpdateKeepsTheFieldsOfANewerLayout(t *testing.T) {
	t.Parallel()
	f := start(t)
	f.do("PUT /d/a?value=1")
	c := f.client()
	f.putAll(c, map[string]string{".v2/f/d/a": `{"new":[1,2]}`, ".v2/d/d": `{"new":{"x":"y"}}`})
	record := func(key string) string {
		answer, err := c.Range(testContext(t), &pb.RangeRequest{Key: []byte(key)})
		if err != nil || len(answer.Kvs) != 1 {
			t.Fatalf("reading %s: got %v and the error %v", key, answer, err)
		}
		return string(answer.Kvs[0].Value)
	}
	for _, test := range []struct {
		request, key string
		keeps        bool
	}{
		{"PUT /d/a?prevExist=true&value=2", ".v2/f/d/a", true},
		{"PUT /d/a?prevValue=2&value=3", ".v2/f/d/a", true},
		{"PUT /d/a?prevExist=true&refresh=true&ttl=100", ".v2/f/d/a", true},
		{"PUT /d?prevExist=true&ttl=100", ".v2/d/d", true},
		{"PUT /d/a?value=4", ".v2/f/d/a", false},
		{"PUT /d/a?prevExist=true&value=5", ".v2/f/d/a", false},
	} {
		f.do(test.request)
		if got := record(test.key); strings.Contains(got, `"new"`) != test.keeps {
			t.Errorf("after %s the record is %s, want the unknown field in it: %v", test.request, got, test.keeps)
		}
		sameTree(t, f.Store, open(t, f.options))
	}
}

// TestAWriteThatWasPlannedBeforeAFreezeFails sends the transaction of a write after the state of the tree
// changed.
func TestAWriteThatWasPlannedBeforeAFreezeFails(t *testing.T) {
	f := start(t)
	p, _, err := f.propose(parse(t, "PUT /a?value=1"), 0)
	if err != nil {
		t.Fatal(err)
	}
	c, meta := f.client(), f.described()
	meta.State = "frozen"
	if _, err := c.Put(testContext(t), &pb.PutRequest{Key: f.keys.Meta(), Value: meta.Encode()}); err != nil {
		t.Fatal(err)
	}
	if _, err := f.commit(testContext(t), p); !errors.Is(err, errRenewed) {
		t.Errorf("got the error %v, want that the description of the tree has changed", err)
	}
	var e *Error
	if _, err := f.Do(testContext(t), parse(t, "PUT /a?value=1")); !errors.As(err, &e) || e.Kind != NotLive || !strings.Contains(e.Reason, "frozen") {
		t.Errorf("got the error %v, want that the tree is frozen", err)
	}
	f.do("GET /")
	meta.State = layout.Live
	if _, err := c.Put(testContext(t), &pb.PutRequest{Key: f.keys.Meta(), Value: meta.Encode()}); err != nil {
		t.Fatal(err)
	}
	if err := f.reachNow(c); err != nil {
		t.Fatal(err)
	}
	f.do("PUT /a?value=1")
}

// TestANewGenerationBreaksWatchesOff changes the generation, as a recovery does.
func TestANewGenerationBreaksWatchesOff(t *testing.T) {
	f := start(t)
	f.do("PUT /a?value=1")
	_, lost, _ := f.watch("GET /a?wait=true")
	c, meta := f.client(), f.described()
	meta.Generation, meta.Offset = "another", meta.Offset+1000
	before := f.index()
	if _, err := c.Put(testContext(t), &pb.PutRequest{Key: f.keys.Meta(), Value: meta.Encode()}); err != nil {
		t.Fatal(err)
	}
	next(t, lost)
	if err := f.Ready(testContext(t)); err != nil {
		t.Fatal(err)
	}
	if got, want := f.index(), before+1000; got != want {
		t.Errorf("got the index %d, want %d", got, want)
	}
	sameTree(t, f.Store, open(t, f.options))
}

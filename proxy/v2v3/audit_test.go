package v2v3

import (
	"strings"
	"testing"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"etcd-tlsproxy/proxy/v2store"
	"etcd-tlsproxy/proxy/v2v3/mirror"
	"etcd-tlsproxy/proxy/v2v3/rpc"
)

// wrong audits a mirror and wants a difference, after which the mirror is like the store again.
func (f *fixture) wrong(what, want string, watched bool) {
	f.Helper()
	lost := make(chan error, 1)
	if watched {
		_, lost, _ = f.watch("GET /unknown?wait=true")
	}
	got, err := f.audit(testContext(f.T))
	if err != nil {
		f.Fatal(err)
	}
	if !strings.Contains(got, want) {
		f.Errorf("%s: the audit found %q, want something with %q", what, got, want)
		return
	}
	if watched {
		next(f.T, lost)
	}
	found := f.Status()
	if found.Difference != got || found.Differed.IsZero() || found.Differences == 0 {
		f.Errorf("%s: got the status %+v, want the difference and its time", what, found)
	}
	if err := f.Ready(testContext(f.T)); err != nil {
		f.Fatal(err)
	}
	if mended := f.Status(); mended.Mended != mended.Differences {
		f.Errorf("%s: got %d differences and %d mended, want all mended", what, mended.Differences, mended.Mended)
	}
	f.right(what)
}

// right audits a mirror and wants no difference.
func (f *fixture) right(what string) {
	f.Helper()
	if got, err := f.audit(testContext(f.T)); got != "" || err != nil {
		f.Errorf("after %s the audit found %q, %v, want no difference", what, got, err)
	}
}

func TestAnAuditFindsNothingInARightMirror(t *testing.T) {
	t.Parallel()
	f := start(t)
	f.right("the start")
	for _, request := range script {
		f.do(request)
		f.right(request)
	}
}

// TestAnAuditFindsEventsThatTheMirrorMissed changes the mirror alone, as if the store had changed without
// an event.
func TestAnAuditFindsEventsThatTheMirrorMissed(t *testing.T) {
	f := start(t)
	f.do("PUT /d/a?value=1")
	f.do("PUT /d/b?value=1")
	for what, spoil := range map[string]func(m *mirror.Mirror){
		"a removal that was missed": func(m *mirror.Mirror) {
			_ = m.Tree.Load(v2store.Record{Key: "/d/c", Recorded: 1})
		},
		"a new node that was missed": func(m *mirror.Mirror) {
			_, _ = m.Tree.Apply(&v2store.Change{Action: v2store.Delete, Key: "/d/a"}, m.Tree.Index()+1)
		},
		"a change that was missed": func(m *mirror.Mirror) {
			_, _ = m.Tree.Apply(&v2store.Change{Action: v2store.Update, Key: "/d/a", KeepValue: true, Put: &v2store.Record{Key: "/d/a"}}, m.Tree.Index()+1)
		},
		"another kind": func(m *mirror.Mirror) {
			_, _ = m.Tree.Apply(&v2store.Change{Action: v2store.Set, Key: "/d/b", DropFile: true, Put: &v2store.Record{Key: "/d/b", Dir: true}}, m.Tree.Index()+1)
		},
	} {
		f.mu.Lock()
		spoil(f.m)
		f.mu.Unlock()
		f.wrong(what, "", true)
		f.want("GET /d/b?quorum=true", `200 `+f.indexText()+` {"action":"get","node":{"key":"/d/b","value":"1","modifiedIndex":104,"createdIndex":104}}`)
	}
}

// TestAnAuditFindsWhatAClientOfV3HasDone changes the keys of the tree in the store.
func TestAnAuditFindsWhatAClientOfV3HasDone(t *testing.T) {
	f := start(t)
	f.do("PUT /d/a?value=1")
	f.do("PUT /d/b?value=1")
	f.do("PUT /d/e/f?value=1")
	c := f.client()
	put := func(key []byte, value string) {
		if _, err := c.Put(testContext(t), &pb.PutRequest{Key: key, Value: []byte(value)}); err != nil {
			t.Fatal(err)
		}
		if err := f.reachNow(c); err != nil {
			t.Fatal(err)
		}
	}
	remove := func(key []byte) {
		_, err := c.Txn(testContext(t), &pb.TxnRequest{Success: []*pb.RequestOp{{
			Request: &pb.RequestOp_RequestDeleteRange{RequestDeleteRange: &pb.DeleteRangeRequest{Key: key}}}}})
		if err == nil {
			err = f.reachNow(c)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	put(f.keys.Data("/d/a"), "changed")
	f.wrong("another value", "was changed by a client of v3", true)
	if got := f.do("GET /d/a"); !strings.Contains(got, "changed") {
		t.Errorf("after the audit: got %s, want the value in the store", got)
	}
	put(f.keys.File("/d/a"), "")
	f.wrong("another record", "the record of a node", true)
	remove(f.keys.File("/d/b"))
	f.wrong("a lost record", "nodes", true)
	remove(f.keys.Data("/d/e/f"))
	f.wrong("a lost value", "values", true)
	put(f.keys.Dir("/no/parent"), "")
	f.wrong("a node without a parent", "the record of a node", true)
	put(f.keys.Data("/foreign"), "1")
	f.right("a foreign value")
	remove(f.keys.Dir("/no/parent"))
	f.wrong("a lost node that was left out before", "nodes", true)
	remove(f.keys.Data("/foreign"))
	f.mu.Lock()
	f.m.Foreign["/forgotten"] = struct{}{}
	f.mu.Unlock()
	f.right("a foreign value that is gone")
}

// reachNow waits until the mirror has applied what a client has just put.
func (f *fixture) reachNow(c *rpc.Client) error {
	answer, err := c.Range(testContext(f.T), &pb.RangeRequest{Key: []byte("none")})
	if err != nil {
		return err
	}
	return f.reach(testContext(f.T), answer.Header.Revision)
}

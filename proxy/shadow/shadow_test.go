package shadow

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"etcd-tlsproxy/proxy/v2store"
	"etcd-tlsproxy/proxy/v2v3/layout"
	"etcd-tlsproxy/proxy/v2v3/mirror"
)

// record returns a node of the copy.
func (f *fixture) record(key string) (r v2store.Record, found bool) {
	f.store.View(func(m *mirror.Mirror) { r, found = m.Tree.Record(key) })
	return r, found
}

// reach waits until the copy has an index.
func (f *fixture) reach(s *Shadow, index uint64) {
	f.Helper()
	f.eventually(fmt.Sprint("the copy has the index ", index), func() bool { return s.Status().Index >= index })
}

func TestHiddenKeysReachTheCopy(t *testing.T) {
	t.Parallel()
	f := start(t)
	f.follow()
	f.do(nil, "PUT /a/_hidden?value=1")
	last := f.do(nil, "PUT /_hidden/b?value=2")
	f.reach(f.Shadow, last.index)
	for _, key := range []string{"/a/_hidden", "/_hidden/b"} {
		if _, found := f.record(key); !found {
			t.Errorf("%s is not in the copy", key)
		}
	}
}

func TestTheCopyHasTheIndexesOfTheV2API(t *testing.T) {
	t.Parallel()
	f := start(t)
	f.follow()
	created := f.do(nil, "PUT /a/b/c?value=1").index
	updated := f.do(nil, "PUT /a/b/c?value=2&prevExist=true").index
	f.reach(f.Shadow, updated)
	if r, _ := f.record("/a/b/c"); r.Created != created || r.Modified != updated {
		t.Errorf("the file has the indexes %d and %d, want %d and %d", r.Created, r.Modified, created, updated)
	}
	if r, _ := f.record("/a/b"); r.Created != created || r.Modified != created {
		t.Errorf("its parent has the indexes %d and %d, want %d twice", r.Created, r.Modified, created)
	}
}

// change changes the value of a file of the copy behind the back of the shadow.
func (f *fixture) change(key, value string) {
	f.Helper()
	t := layout.Txn{Keys: layout.Keys(prefix)}
	r, _ := f.record(key)
	entry := layout.Entry{Action: v2store.Set, Key: key, Time: 1}
	t.Change(&v2store.Change{Action: v2store.Set, Key: key, Put: &v2store.Record{Key: key, Value: value, Created: r.Created, Modified: r.Modified}}, nil)
	t.Put(t.Keys.Log(), entry.Encode())
	put, err := f.client.Txn(f.Context(), &pb.TxnRequest{Success: t.Success})
	if err != nil {
		f.Fatal(err)
	}
	f.eventually("the copy has the change", func() (applied bool) {
		f.store.View(func(m *mirror.Mirror) { applied = m.Applied >= put.Header.Revision })
		return applied
	})
}

func TestAChangedValueIsFoundByTheNextReadAndNotShown(t *testing.T) {
	t.Parallel()
	f := start(t)
	f.follow()
	f.reach(f.Shadow, f.do(nil, "PUT /a?value=secret-one").index)
	f.change("/a", "secret-two")
	f.do([]*Shadow{f.Shadow}, "GET /a")
	f.eventually("a difference is found", func() bool { st := f.Status(); return st.Differing() > 0 })
	st := f.Status()
	if d := st.First[0]; d.Kind != Value || d.Key != "/a" || d.Method != "GET" {
		t.Errorf("got the difference %+v, want one of the value of /a", d)
	}
	if strings.Contains(fmt.Sprintf("%+v", st), "secret") {
		t.Errorf("the status shows a value: %+v", st)
	}
}

func TestAWriteThatTheShadowWouldRefuseIsADifference(t *testing.T) {
	t.Parallel()
	f := start(t)
	f.follow()
	f.reach(f.Shadow, f.do(nil, "PUT /a?value=1").index)
	f.change("/a", "2")
	f.write("PUT /a?value=3&prevValue=1")
	f.eventually("a difference is found", func() bool { st := f.Status(); return st.Differences[Verdict] > 0 })
	if what := f.Status().First[0].What; !strings.Contains(what, "refuses it with 101") {
		t.Errorf("got the difference %q, want that the shadow refuses it", what)
	}
}

func TestAnswersAreSkippedIfThereIsNoRoom(t *testing.T) {
	t.Parallel()
	f := start(t)
	f.follow()
	body := bytes.Repeat([]byte("x"), maxBody)
	var held []*Sample
	for range 2 * maxBytes / maxBody {
		if a := f.Begin("PUT", "/a", "", "", body); a != nil {
			held = append(held, a)
		}
	}
	if st := f.Status(); st.Skipped[Full] == 0 || st.Bytes > maxBytes {
		t.Errorf("got %d skipped and %d bytes, want some skipped and at most %d bytes", st.Skipped[Full], st.Bytes, maxBytes)
	}
	for _, a := range held {
		a.Drop()
	}
	if st := f.Status(); st.Bytes != 0 {
		t.Errorf("%d bytes are left, want none", st.Bytes)
	}
}

func TestDifferencesAreLoggedSeldomAndKeptUpToABound(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	var c Counts
	for range 10 * maxDifferences {
		c.differs(Difference{Kind: Value, Key: "/a"}, slog.New(slog.NewTextHandler(&log, nil)))
	}
	if lines := strings.Count(log.String(), "\n"); lines != 1 {
		t.Errorf("got %d lines of the log, want 1:\n%s", lines, log.String())
	}
	if len(c.first) != maxDifferences || c.differences[Value] != 10*maxDifferences {
		t.Errorf("got %d kept of %d, want %d of all", len(c.first), c.differences[Value], maxDifferences)
	}
}

func TestAShareOfTheAnswersIsChosen(t *testing.T) {
	t.Parallel()
	var s Shadow
	for _, share := range []float64{0, 0.25, 1} {
		s.SetSample(share)
		chosen := 0
		for range 100_000 {
			if s.Chooses() {
				chosen++
			}
		}
		if off := float64(chosen) - share*100_000; off < -2000 || off > 2000 || share != 0.25 && off != 0 {
			t.Errorf("of the share %v: %d of 100,000 are chosen", share, chosen)
		}
	}
}

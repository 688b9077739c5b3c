package v2v3

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"etcd-tlsproxy/proxy/proxytest"
	"etcd-tlsproxy/proxy/v2v3/layout"
)

// restorable is a store before a cluster of one member, whose data can be replaced by an older copy.
type restorable struct {
	*fixture
	cluster *proxytest.Cluster
	dir     string
	backup  string
}

// startRestorable starts a store whose tree has a file, and copies the data of etcd.
func startRestorable(t *testing.T) *restorable {
	t.Helper()
	r := &restorable{dir: t.TempDir()}
	r.cluster = startCluster(t, r.dir, 1)
	o := testOptions(t, r.cluster.Members[0].URL())
	if err := Init(testContext(t), o, 100); err != nil {
		t.Fatal(err)
	}
	link := newLink(t, o.Endpoints[0].Addr)
	linked := o
	linked.Endpoints = []Endpoint{{Addr: address(t, link.URL())}}
	r.fixture = &fixture{T: t, Store: open(t, linked), link: link, options: o}
	r.do("PUT /a?value=1")
	r.away()
	r.cluster.Members[0].Close()
	r.backup = t.TempDir()
	if err := os.CopyFS(r.backup, os.DirFS(r.dir)); err != nil {
		t.Fatal(err)
	}
	r.startMember()
	r.back()
	return r
}

func (r *restorable) startMember() {
	r.Helper()
	if err := r.cluster.Members[0].Start(); err != nil {
		r.Fatal(err)
	}
}

// restore puts the copy in place of the data, which keeps the id of the cluster. The store is cut off.
func (r *restorable) restore() {
	r.Helper()
	r.away()
	r.cluster.Members[0].Close()
	if err := os.RemoveAll(filepath.Join(r.dir, r.cluster.Members[0].Name())); err != nil {
		r.Fatal(err)
	}
	if err := os.CopyFS(r.dir, os.DirFS(r.backup)); err != nil {
		r.Fatal(err)
	}
	r.startMember()
}

// TestARestoredStoreIsNoticed replaces the data of etcd by an older copy. Once the mirror is ahead of the
// store; and once the store has caught up with other events.
func TestARestoredStoreIsNoticed(t *testing.T) {
	t.Parallel()
	for _, writes := range []int{0, 10} {
		r := startRestorable(t)
		_, lost, _ := r.watch("GET /b?wait=true")
		for range 3 {
			r.do("PUT /a?value=new")
		}
		if len(lost) > 0 {
			t.Fatalf("the watch was lost while etcd was restarted: %v", <-lost)
		}
		r.restore()
		other := open(t, r.options)
		for range writes {
			do(t, other, "PUT /a?value=other")
		}
		r.link.Mend()
		next(t, lost)
		if err := r.Ready(testContext(t)); err != nil {
			t.Fatal(err)
		}
		sameTree(t, other, r.Store)
		other.Close()
		r.Close()
	}
}

// recoverByRevision makes the store go on as after a restore that has raised the revision and has
// compacted what is below: the log is put once, above everything that was seen.
func (r *restorable) recoverByRevision(seen int64) {
	r.Helper()
	c := r.client()
	for revision := int64(0); revision <= seen; {
		put, err := c.Put(testContext(r.T), &pb.PutRequest{Key: []byte("elsewhere")})
		if err != nil {
			r.Fatal(err)
		}
		revision = put.Header.Revision
	}
	r.compact()
	r.putMark(r.described())
}

// recoverByOffset makes the store go on after a restore that has lowered the revision: the offset is
// raised so far that no index is used again.
func (r *restorable) recoverByOffset(seen int64) {
	r.Helper()
	meta := r.described()
	meta.Offset += seen
	meta.Generation = randomName()
	r.putMark(meta)
}

// putMark puts the log without an event, and the description of the tree.
func (r *restorable) putMark(meta layout.Meta) {
	r.Helper()
	t := layout.Txn{Keys: r.keys}
	t.Put(r.keys.Log(), (&layout.Entry{Action: layout.Mark, Time: time.Now().UnixNano()}).Encode())
	if meta != r.described() {
		t.Put(r.keys.Meta(), meta.Encode())
	}
	if _, err := r.client().Txn(testContext(r.T), &pb.TxnRequest{Success: t.Success}); err != nil {
		r.Fatal(err)
	}
}

// TestNoIndexIsUsedAgainAfterARecovery restores an older copy in both ways: with a tool that raises the
// revision, and with one that does not, where the offset of the indexes is raised.
func TestNoIndexIsUsedAgainAfterARecovery(t *testing.T) {
	for name, goOn := range map[string]func(*restorable, int64){"revision": (*restorable).recoverByRevision, "offset": (*restorable).recoverByOffset} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := startRestorable(t)
			for range 20 {
				r.do("PUT /a?value=forgotten")
			}
			seen := r.index()
			_, lost, _ := r.watch(fmt.Sprintf("GET /a?wait=true&waitIndex=%d", seen+1))
			r.restore()
			goOn(r, r.current().Applied)
			r.link.Mend()
			next(t, lost) // its client must read again: events are forgotten
			if err := r.Ready(testContext(t)); err != nil {
				t.Fatal(err)
			}
			got := event(t, r.do("GET /a?quorum=true"))
			if *got.Node.Value != "1" || r.index() <= seen || got.Node.ModifiedIndex > r.index() {
				t.Errorf("got the value %s of the index %d in a tree of the index %d, want the copied one in a tree above the index %d",
					*got.Node.Value, got.Node.ModifiedIndex, r.index(), seen)
			}
			if answer := r.do(fmt.Sprintf("PUT /a?prevIndex=%d&value=2", seen)); !strings.HasPrefix(answer, "412 ") {
				t.Errorf("got %s for an index that is forgotten, want that it does not match", answer)
			}
			_, head, err := r.Watch(parse(t, fmt.Sprintf("GET /a?wait=true&waitIndex=%d", seen+1)), func(*Event) {}, func(error) {})
			if err != nil || head.Status != 400 || !strings.Contains(string(head.Body), `"errorCode":401`) {
				t.Errorf("a watch of what follows the forgotten events: got %d %s, %v; want that they are cleared", head.Status, head.Body, err)
			}
			written := event(t, r.do("PUT /a?prevExist=true&value=3"))
			if written.Node.ModifiedIndex <= seen || written.Node.CreatedIndex != got.Node.CreatedIndex {
				t.Errorf("a write has the indexes %d and %d, want more than %d, and that of the creation, %d",
					written.Node.ModifiedIndex, written.Node.CreatedIndex, seen, got.Node.CreatedIndex)
			}
			sameTree(t, r.Store, open(t, r.options))
		})
	}
}

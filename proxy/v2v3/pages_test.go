package v2v3

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"

	"etcd-tlsproxy/proxy/v2v3/rpc"
)

// TestATreeOfSeveralPagesIsLoaded has more files than a page, and values without a record before, between
// and behind those of the files.
func TestATreeOfSeveralPagesIsLoaded(t *testing.T) {
	etcd, o := startEtcd(t)
	c, err := rpc.New(o.Endpoints, "", "")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	files := firstPage + 3*firstPage/2
	fill(t, c, "", files, 3, "x")
	foreign := []string{"/a", "/big/directory-000", "/big/directory-001/", "/big/directory-019/file-000019990", "/big/directory-019/file-00001999/x", "/zoo"}
	for _, key := range foreign {
		if _, err := c.Put(testContext(t), &pb.PutRequest{Key: []byte(key), Value: []byte("foreign")}); err != nil {
			t.Fatal(err)
		}
	}
	if err := create(testContext(t), c, "", 1000); err != nil {
		t.Fatal(err)
	}
	f := attach(t, etcd, o)
	f.right("the load")
	if got, want := f.Status().Nodes, files+files/100+1; got != want {
		t.Errorf("got %d nodes, want %d", got, want)
	}
	for _, key := range foreign {
		if _, found := f.m.Foreign[key]; !found {
			t.Errorf("the value %s was not loaded, want it known as foreign", key)
		}
	}
	if got := len(f.m.Foreign); got != len(foreign) {
		t.Errorf("got %d foreign values, want %d", got, len(foreign))
	}
	if got := f.do(fmt.Sprintf("GET /big/directory-%03d/file-%08d", (files-1)/100, files-1)); !strings.Contains(got, `"value":"x"`) {
		t.Errorf("the last file: got %s, want its value", got)
	}
}

// TestAPageThatCannotBeReadOrAddedIsAnError has pages that are read ahead.
func TestAPageThatCannotBeReadOrAddedIsAnError(t *testing.T) {
	f := start(t)
	fill(t, f.client(), "", firstPage+1, 3, "x")
	f.do("PUT /a?value=1")
	f.compact()
	start, end := f.keys.Range()
	added, bad := 0, errors.New("bad")
	read := func(revision int64, result error) error {
		return f.pagesAhead(testContext(t), &pb.RangeRequest{Key: start, RangeEnd: end, Revision: revision}, func([]*mvccpb.KeyValue) error {
			added++
			return result
		})
	}
	if err := read(2, nil); !rpc.Compacted(err) || added != 0 {
		t.Errorf("at a revision that was compacted: got the error %v and %d pages, want that error and none", err, added)
	}
	if err := read(0, bad); !errors.Is(err, bad) || added != 1 {
		t.Errorf("with a page that is bad: got the error %v after %d pages, want that of the first", err, added)
	}
	added = 0
	if err := read(0, nil); err != nil || added < 2 {
		t.Errorf("with good pages: got the error %v and %d pages, want several", err, added)
	}
}

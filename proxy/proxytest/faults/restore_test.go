package faults

import (
	"context"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"etcd-tlsproxy/proxy/proxytest/exact"
	"etcd-tlsproxy/proxy/v2store"
	"etcd-tlsproxy/proxy/v2v3/layout"
)

// restored is a kind that takes two rounds: the first one is forgotten by the second.
var restored = kind{name: "cluster restored from a copy"}

// runRestore copies the data of all members, lets clients work, and puts the copy back while others
// write. The proxies must notice, although the cluster has the same id, and break watches off.
func (c *cluster) runRestore(seed uint64) []*round {
	c.Helper()
	backup := c.backUp()
	first := newRound(c, restored, seed)
	first.kind.inject = func(r *round) { r.progress(30, everyone...) }
	first.run()
	seen := first.newest.Load()

	var watching, writing sync.WaitGroup
	for i := range c.proxies {
		watching.Go(func() { first.watchNothing(i, seen) })
	}
	noise := newRound(c, restored, seed+1e9)
	ctx, stop := context.WithCancel(c.Context())
	defer stop()
	noise.startClients(ctx, &writing)
	noise.progress(5, everyone...)
	seen = c.restore(backup, noise.newest.Load)
	watching.Wait()
	for i := range c.proxies {
		c.wait(fmt.Sprintf("proxy %d has noticed that the store was restored", i), func() bool {
			return noise.settle(i, exact.Request{Action: v2store.Get, Key: first.directory, Quorum: true}).Index > seen
		})
	}
	noise.progress(5, everyone...)
	stop()
	writing.Wait()

	second := newRound(c, restored, seed+2e9)
	second.kind.inject = first.kind.inject
	var trees []*exact.Op
	for i := range c.proxies {
		gone := noise.settle(i, exact.Request{Action: v2store.Get, Key: first.directory, Quorum: true})
		if gone.Code != v2store.CodeKeyNotFound || gone.Index <= seen {
			second.finding("after a restore: got %s, want no such key, at an index above %d", gone, seen)
		}
		tree := noise.settle(i, exact.Request{Action: v2store.Get, Key: noise.directory, Quorum: true, Recursive: true})
		if tree.Code != 0 {
			second.finding("after a restore: got %s, want what was written since", tree)
			continue
		}
		trees = append(trees, tree)
	}
	for _, b := range trees[min(1, len(trees)):] {
		// Nodes expire meanwhile.
		if a := trees[0]; a.Index == b.Index && !maps.Equal(exact.NewTree(a.Event.Node), exact.NewTree(b.Event.Node)) {
			second.finding("after a restore: got the trees %v and %v, want equal ones", exact.NewTree(a.Event.Node), exact.NewTree(b.Event.Node))
		}
	}
	noise.remove()
	second.run()
	return []*round{first, second}
}

// watchNothing waits at a proxy for an event that does not come, because the store is restored.
func (r *round) watchNothing(proxy int, seen uint64) {
	client := newHTTPClient()
	defer client.CloseIdleConnections()
	ctx, cancel := context.WithTimeout(r.Context(), time.Minute)
	defer cancel()
	a, err := send(ctx, client, "GET", fmt.Sprintf("%s/v2/keys%s?wait=true&waitIndex=%d", r.url(proxy), r.key("nothing"), seen+1), "")
	switch {
	case ctx.Err() != nil:
		r.Errorf("a watch at proxy %d was not broken off in a minute, although the store was restored", proxy)
	case err == nil && a.status == 200 && len(a.body) > 0:
		r.Errorf("a watch at proxy %d after a restore: got %s, want that it is broken off", proxy, a.body)
	}
}

// restore puts copied data in place of that of the members, as they were. Then it raises the indexes
// above those that clients have seen, as an operator has to do. It returns the highest of them.
func (c *cluster) restore(backup string, newest func() uint64) (seen uint64) {
	c.Helper()
	c.stopMembers()
	seen = newest()
	if err := os.RemoveAll(c.data()); err != nil {
		c.Fatal(err)
	}
	if err := os.Mkdir(c.data(), 0o700); err != nil {
		c.Fatal(err)
	}
	if err := copyData(backup, c.data()); err != nil {
		c.Fatal(err)
	}
	c.startMembers("existing")
	keys := layout.Keys("")
	client := c.members[0].client
	c.wait("the indexes are raised", func() bool {
		ctx, cancel := call()
		defer cancel()
		answer, err := client.Range(ctx, &pb.RangeRequest{Key: keys.Meta()})
		if err != nil || len(answer.Kvs) != 1 {
			return false
		}
		meta, err := layout.DecodeMeta(answer.Kvs[0].Value)
		if err != nil {
			c.Fatal(err)
		}
		meta.Offset += int64(seen)
		meta.Generation = fmt.Sprint("restored", seen)
		t := layout.Txn{Keys: keys}
		t.Modified(keys.Meta(), answer.Kvs[0].ModRevision)
		t.Put(keys.Log(), (&layout.Entry{Action: layout.Mark, Time: time.Now().UnixNano()}).Encode())
		t.Put(keys.Meta(), meta.Encode())
		put, err := client.Txn(ctx, &pb.TxnRequest{Compare: t.Compare, Success: t.Success})
		return err == nil && put.Succeeded
	})
	return seen
}

// backUp copies the data of the members.
func (c *cluster) backUp() (copied string) {
	c.Helper()
	copied = filepath.Join(c.dir, "backup")
	c.stopMembers()
	if err := os.RemoveAll(copied); err != nil {
		c.Fatal(err)
	}
	if err := os.Mkdir(copied, 0o700); err != nil {
		c.Fatal(err)
	}
	if err := copyData(c.data(), copied); err != nil {
		c.Fatal(err)
	}
	c.startMembers("existing")
	return copied
}

func (c *cluster) stopMembers() {
	for _, m := range c.members {
		m.kill()
	}
}

// copyData copies the data of all members, which must not run. The files have large holes.
func copyData(from, to string) error {
	if out, err := exec.Command("cp", "-a", "--sparse=always", from+"/.", to).CombinedOutput(); err != nil {
		return fmt.Errorf("copying the data: %w: %s", err, out)
	}
	return nil
}

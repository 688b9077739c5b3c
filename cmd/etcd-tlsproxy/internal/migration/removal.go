package migration

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"time"

	"etcd-tlsproxy/proxy/v2store"
)

// maxPiece is how many nodes one request deletes. Etcd does nothing else meanwhile, on any member.
const maxPiece = 500

// removal is a deletion under way.
type removal struct {
	*Drop
	store *store
	to    *v2writer
	// unlocked is set if etcd's own users were enabled before.
	unlocked bool
	start    time.Time
	result   DroppedKeys
}

// delete deletes all nodes, in pieces.
func (r *removal) delete(ctx context.Context) error {
	if _, err := r.unneeded(ctx, r.store); err != nil { // the users have taken a while
		return err
	}
	return r.deleteAll(ctx, r.result.records)
}

func (r *removal) deleteAll(ctx context.Context, records []v2store.Record) error {
	small, large := pieces(records, maxPiece)
	add, done := r.Progress("nodes deleted", int64(len(records)))
	defer done()
	var mu sync.Mutex // only one goroutine may report
	remove := func(ctx context.Context, p *piece) error {
		err := r.to.write(ctx, request{method: http.MethodDelete, key: p.key, query: "recursive=true"}, codeNotFound)
		mu.Lock()
		defer mu.Unlock()
		if err == nil {
			add(int64(p.nodes))
			r.result.Requests++
		}
		return err
	}
	if err := spread(ctx, small, func(int64) {}, remove); err != nil {
		return err
	}
	for i := range large { // what is in them is gone
		if err := remove(ctx, &large[i]); err != nil {
			return err
		}
	}
	return nil
}

// piece is what one request deletes: a node, and what is below it.
type piece struct {
	key   string
	nodes int
}

// pieces divides a tree into parts that have at most a number of nodes, and into the directories that have more. Of
// these each is empty when the parts and the directories before it are deleted.
func pieces(records []v2store.Record, most int) (small, large []piece) {
	sizes := map[string]int{}
	for i := range records {
		for key := records[i].Key; key != ""; key = parent(key) {
			sizes[key]++
		}
	}
	for i := range records {
		key := records[i].Key
		above := parent(key)
		switch {
		case sizes[key] > most:
			large = append(large, piece{key, 1})
		case above == "" || sizes[above] > most:
			small = append(small, piece{key, sizes[key]})
		}
	}
	slices.SortStableFunc(large, func(a, b piece) int { return depth(b.key) - depth(a.key) })
	return small, large
}

// maxRemains is how often nodes are deleted that have come meanwhile.
const maxRemains = 3

// prove reads the v2 store again, which must be empty.
func (r *removal) prove(ctx context.Context) error {
	for attempt := 1; ; attempt++ {
		c, err := r.take(ctx, r.store)
		switch {
		case err != nil:
			return err
		case c.Nodes() == 0:
			r.result.users, r.result.roles = c.users, c.roles
			return nil
		case attempt == maxRemains:
			return fmt.Errorf("%q is there although everything was deleted; somebody writes to the v2 API (hint: find the program, or the proxy with upstream.api = \"v2\", that does, and run the command again)", c.records[0].Key)
		}
		if err := r.deleteAll(ctx, c.records); err != nil {
			return err
		}
	}
}

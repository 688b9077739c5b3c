package share

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"sync"

	"etcd-tlsproxy/proxy/http1"
	"etcd-tlsproxy/proxy/upstream"
)

// Head is the head of an answer from etcd. If Status is not 200, it is the complete
// answer. It is immutable.
type Head struct {
	Status int
	Fields []http1.Field
	// Index is etcd's index when it answered.
	Index uint64
	Body  []byte

	cluster string
}

const indexField = "X-Etcd-Index"

// newHead copies a head, whose strings are valid only until the response is closed.
func newHead(resp *upstream.Response) *Head {
	h := &Head{Status: resp.Status, Fields: make([]http1.Field, 0, len(resp.Fields))}
	for _, f := range resp.Fields {
		f = http1.Field{Name: strings.Clone(f.Name), Value: strings.Clone(f.Value)}
		switch f.Name {
		case indexField:
			h.Index, _ = strconv.ParseUint(f.Value, 10, 64) // callers reject 0
		case "X-Etcd-Cluster-Id":
			h.cluster = f.Value
		}
		h.Fields = append(h.Fields, f)
	}
	return h
}

// at returns a copy of the head with another index.
func (h *Head) at(index uint64) *Head {
	other := *h
	other.Index = index
	other.Fields = make([]http1.Field, len(h.Fields))
	for i, f := range h.Fields {
		if f.Name == indexField {
			f.Value = strconv.FormatUint(index, 10)
		}
		other.Fields[i] = f
	}
	return &other
}

// indexReads reads etcd's index in batches. Each batch is sent after all of its readers
// have asked.
type indexReads struct {
	pool *upstream.Pool

	mu   sync.Mutex
	busy bool
	next *indexBatch
}

type indexBatch struct {
	done chan struct{}
	head *Head
	err  error
}

func (x *indexReads) read(ctx context.Context) (*Head, error) {
	x.mu.Lock()
	b := x.next
	if b == nil {
		b = &indexBatch{done: make(chan struct{})}
		x.next = b
	}
	if !x.busy {
		x.busy = true
		go x.sendBatches()
	}
	x.mu.Unlock()
	select {
	case <-b.done:
		return b.head, b.err
	case <-ctx.Done():
		return nil, &upstream.Error{Kind: upstream.Canceled, Err: context.Cause(ctx)}
	}
}

// sendBatches sends batches until no reader waits.
func (x *indexReads) sendBatches() {
	for {
		x.mu.Lock()
		b := x.next
		x.next = nil
		x.busy = b != nil
		x.mu.Unlock()
		if b == nil {
			return
		}
		b.head, b.err = x.request()
		close(b.done)
	}
}

var (
	errNoIndex = errors.New("the answer contains no index")
	// errHidden means that etcd's own users are enabled and may not list the root, or may no
	// longer read a watched key.
	errHidden = errors.New("etcd refuses the proxy's read")
)

// request reads the index from the head of the root's listing, which is not recursive and
// thus cheap. It has the same fields as the head of a watch.
func (x *indexReads) request() (*Head, error) {
	head, err := readHead(context.Background(), x.pool, "/v2/keys/")
	if err != nil {
		return nil, err
	}
	if head.Status != 200 {
		return nil, noIndex(head)
	}
	return head, nil
}

// readIndex is for watchers of a hub where the root cannot be listed. It reads the index from
// the watched key, which may not exist. Such reads are not batched.
func (h *hub) readIndex(ctx context.Context) (*Head, error) {
	head, err := readHead(ctx, h.watches.pool, h.path)
	if err != nil {
		return nil, err
	}
	// The head of an error lacks fields that the head of a watch has.
	other := h.head.at(head.Index)
	other.cluster = head.cluster
	return other, nil
}

// readHead reads the head of a key, which has an index even if the key is missing. The error
// is errHidden or an [*upstream.Error].
func readHead(ctx context.Context, pool *upstream.Pool, target string) (*Head, error) {
	resp, err := pool.Do(ctx, &upstream.Request{Method: "HEAD", Target: target})
	if err != nil {
		return nil, err
	}
	defer resp.Close()
	head := newHead(resp)
	switch {
	case head.Status == 401:
		return nil, errHidden
	case head.Status != 200 && head.Status != 404 || head.Index == 0:
		return nil, noIndex(head)
	}
	return head, nil
}

func noIndex(head *Head) error {
	return &upstream.Error{Kind: upstream.Broken, Err: fmt.Errorf("reading etcd's index: status %d: %w", head.Status, errNoIndex)}
}

// maxRefusal bounds etcd's answer to a watch that it refuses.
const maxRefusal = 64 << 10

// readRefusal reads a complete answer to a watch.
func readRefusal(resp *upstream.Response) ([]byte, error) {
	body, err := io.ReadAll(io.LimitReader(resp, maxRefusal+1))
	switch {
	case err != nil:
		return nil, err
	case len(body) > maxRefusal:
		return nil, &upstream.Error{Kind: upstream.Broken, Err: errEventTooLarge}
	}
	return body, nil
}

// saw notes the id of the cluster that has answered. If it is another one than before, all
// watches of others end: nothing continues there.
func (ws *Watches) saw(now string) {
	before := ws.count.cluster.Load()
	if now == "" || before != nil && *before == now {
		return
	}
	if !ws.count.cluster.CompareAndSwap(before, &now) || before == nil {
		return // the other caller tells
	}
	ws.count.Clusters.Add(1)
	ws.mu.Lock()
	var others []*hub
	for _, h := range ws.hubs {
		if h.isElsewhere(now) {
			others = append(others, h)
		}
	}
	ws.mu.Unlock()
	ended := 0
	for _, h := range others {
		ended += h.stop(errElsewhere)
	}
	if tell := ws.count.OtherCluster; tell != nil {
		tell(*before, now, ended)
	}
}

// isElsewhere reports whether the hub has been admitted by another cluster.
func (h *hub) isElsewhere(cluster string) bool {
	select {
	case <-h.ready:
	default:
		return false // it has no head yet
	}
	return h.head != nil && h.head.Status == 200 && h.head.cluster != cluster
}

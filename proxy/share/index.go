package share

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"

	"etcd-tlsproxy/proxy/http1"
	"etcd-tlsproxy/proxy/upstream"
)

// Head is the head of an answer of etcd's, and the whole answer if Status is not
// 200. It is never changed.
type Head struct {
	Status int
	Fields []http1.Field
	// Index is etcd's at that moment.
	Index uint64
	Body  []byte

	cluster string
}

const indexField = "X-Etcd-Index"

// newHead copies a head, whose strings end with its response.
func newHead(resp *upstream.Response) *Head {
	h := &Head{Status: resp.Status, Fields: make([]http1.Field, 0, len(resp.Fields))}
	for _, f := range resp.Fields {
		f = http1.Field{Name: strings.Clone(f.Name), Value: strings.Clone(f.Value)}
		switch f.Name {
		case indexField:
			h.Index, _ = strconv.ParseUint(f.Value, 10, 64) // 0 is no index, and noticed
		case "X-Etcd-Cluster-Id":
			h.cluster = f.Value
		}
		h.Fields = append(h.Fields, f)
	}
	return h
}

// at is the head with another index.
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

// indexReads find out etcd's index for all who ask at a time, by the next batch:
// it is read after each of them has asked.
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
		go x.run()
	}
	x.mu.Unlock()
	select {
	case <-b.done:
		return b.head, b.err
	case <-ctx.Done():
		return nil, &upstream.Error{Kind: upstream.Canceled, Err: context.Cause(ctx)}
	}
}

// run sends batches until nobody waits.
func (x *indexReads) run() {
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

var errNoIndex = errors.New("it did not tell its index")

// ask reads the index where it costs etcd little: the head of the root's listing,
// which is not recursive. It has the fields of a watch's head.
func (x *indexReads) request() (*Head, error) {
	resp, err := x.pool.Do(context.Background(), &upstream.Request{Method: "HEAD", Target: "/v2/keys/"})
	if err != nil {
		return nil, err
	}
	defer resp.Close()
	head := newHead(resp)
	if head.Status != 200 || head.Index == 0 {
		return nil, &upstream.Error{Kind: upstream.Broken, Err: fmt.Errorf("reading etcd's index: status %d: %w", head.Status, errNoIndex)}
	}
	return head, nil
}

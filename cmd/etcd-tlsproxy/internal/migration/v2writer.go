package migration

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/cluster"
	"etcd-tlsproxy/proxy/v2store"
)

// maxSenders is how many writes to the v2 API are under way. Etcd agrees on them together.
const maxSenders = 64

// ownTTL is how many seconds the key lives with which the index is raised.
const ownTTL = "600"

// v2writer writes to the v2 API of a cluster.
type v2writer struct {
	*member
	// last is the index of the last of its writes.
	last atomic.Uint64
}

// request is the request of a write.
type request struct {
	method, key, query string
	form               url.Values
}

func (c request) HTTPRequest(endpoint url.URL) *http.Request {
	endpoint.Path, endpoint.RawQuery = "/v2/keys"+c.key, c.query
	r, err := http.NewRequest(c.method, endpoint.String(), strings.NewReader(c.form.Encode())) //nolint:noctx // the library sets the context
	if err != nil {
		panic("BUG: a URL of a key is not valid: " + err.Error())
	}
	if c.form != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	return r
}

// The codes of errors of etcd that are no failure here.
const (
	codeNotFound = 100
	codeExists   = 105
)

// write executes a write, and does it again if etcd was not there: each of them has the same effect twice. An error
// of etcd with one of the codes is none.
func (w *v2writer) write(ctx context.Context, c request, accepted ...int) error {
	for attempt := 1; ; attempt++ {
		response, body, err := w.client.Do(ctx, c) //nolint:bodyclose // Do reads and closes the body
		if err == nil {
			return w.executed(c, response, body, accepted)
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if attempt == maxCalls {
			return fmt.Errorf("writing %q to the v2 API: %w", c.key, cluster.OneLine(err))
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(callPause):
		}
	}
}

func (w *v2writer) executed(c request, response *http.Response, body []byte, accepted []int) error {
	index, err := strconv.ParseUint(response.Header.Get("X-Etcd-Index"), 10, 64)
	if err != nil {
		return fmt.Errorf("writing %q to the v2 API: the answer with the status %d has no index, so that it is not etcd's", c.key, response.StatusCode)
	}
	for last := w.last.Load(); index > last && !w.last.CompareAndSwap(last, index); {
		last = w.last.Load()
	}
	if response.StatusCode < 300 {
		return nil
	}
	var failure struct {
		ErrorCode int
		Message   string
	}
	if json.Unmarshal(body, &failure) == nil {
		for _, code := range accepted {
			if failure.ErrorCode == code {
				return nil
			}
		}
	}
	return fmt.Errorf("writing %q to the v2 API: it answers with the status %d: %q", c.key, response.StatusCode, failure.Message)
}

// apply makes edits.
func (w *v2writer) apply(ctx context.Context, e *edits, add func(int64)) error {
	err := spread(ctx, e.remove, add, func(ctx context.Context, r *v2store.Record) error {
		query := ""
		if r.Dir {
			query = "recursive=true"
		}
		return w.write(ctx, request{method: http.MethodDelete, key: r.Key, query: query}, codeNotFound)
	})
	for dirs := e.dirs; err == nil && len(dirs) > 0; {
		n := 0
		for n < len(dirs) && depth(dirs[n].Key) == depth(dirs[0].Key) {
			n++
		}
		err = spread(ctx, dirs[:n], add, func(ctx context.Context, r *v2store.Record) error {
			return w.put(ctx, e, r, url.Values{"dir": {"true"}, "prevExist": {"false"}}, codeExists)
		})
		dirs = dirs[n:]
	}
	if err != nil {
		return err
	}
	return spread(ctx, e.files, add, func(ctx context.Context, r *v2store.Record) error {
		return w.put(ctx, e, r, url.Values{"value": {r.Value}})
	})
}

// put writes a node, unless it has expired meanwhile. It would make a directory that is permanent of one that has.
func (w *v2writer) put(ctx context.Context, e *edits, r *v2store.Record, form url.Values, accepted ...int) error {
	now := time.Now()
	if e.due.passed(r.Key, now) {
		return nil
	}
	if r.Expires != 0 {
		left := time.Duration(r.Expires - now.UnixNano())
		form.Set("ttl", strconv.FormatInt(int64((left+time.Second-1)/time.Second), 10))
	}
	return w.write(ctx, request{method: http.MethodPut, key: r.Key, form: form}, accepted...)
}

// raise raises the index of the v2 API to one at least.
func (w *v2writer) raise(ctx context.Context, to uint64, add func(int64)) error {
	var mu sync.Mutex // only one goroutine may report
	return spread(ctx, make([]struct{}, maxSenders), func(int64) {}, func(ctx context.Context, _ *struct{}) error {
		for w.last.Load() < to {
			if err := w.putOwn(ctx); err != nil {
				return err
			}
			mu.Lock()
			add(1)
			mu.Unlock()
		}
		return nil
	})
}

func (w *v2writer) putOwn(ctx context.Context) error {
	return w.write(ctx, request{method: http.MethodPut, key: ownKey, form: url.Values{"value": {""}, "ttl": {ownTTL}}})
}

func (w *v2writer) removeOwn(ctx context.Context) error {
	return w.write(ctx, request{method: http.MethodDelete, key: ownKey}, codeNotFound)
}

// below reads a key and what etcd lists below it. It returns nothing if there is no such key.
func (w *v2writer) below(ctx context.Context, key string) ([]v2store.Record, error) {
	response, body, err := w.client.Do(ctx, get{"/v2/keys" + key, "quorum=true&recursive=true"}) //nolint:bodyclose // Do reads and closes the body
	if err != nil {
		return nil, fmt.Errorf("reading %q from the v2 API: %w", key, cluster.OneLine(err))
	}
	var answer struct {
		Node      *node
		ErrorCode int
	}
	switch {
	case response.Header.Get("X-Etcd-Index") == "" || json.Unmarshal(body, &answer) != nil:
		return nil, fmt.Errorf("reading %q from the v2 API: the answer is not etcd's", key)
	case answer.ErrorCode == codeNotFound, answer.ErrorCode == 104: // a part of it is a file
		return nil, nil
	case response.StatusCode != http.StatusOK || answer.Node == nil:
		return nil, fmt.Errorf("reading %q from the v2 API: it answers with the status %d", key, response.StatusCode)
	}
	return answer.Node.flat(nil), nil
}

// spread does something for each of a list, maxSenders at a time.
func spread[T any](ctx context.Context, list []T, add func(int64), do func(context.Context, *T) error) error {
	senders, ctx := errgroup.WithContext(ctx)
	var next atomic.Int64
	var mu sync.Mutex // only one goroutine may report
	for range min(maxSenders, len(list)) {
		senders.Go(func() error {
			for {
				i := int(next.Add(1)) - 1
				if i >= len(list) {
					return nil
				}
				if err := do(ctx, &list[i]); err != nil {
					return err
				}
				mu.Lock()
				add(1)
				mu.Unlock()
			}
		})
	}
	return senders.Wait()
}

// errProxy means that what was written to the v2 API went to the tree.
var errProxy = errors.New("--endpoints leads to a proxy that serves the v3 store (hint: give the client URLs of members, which run with --enable-v2)")

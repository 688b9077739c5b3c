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

	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/cluster"
	"etcd-tlsproxy/proxy/v2store"
)

// ownTTL is how long the key lives with which the index is raised.
const ownTTL = 600 * time.Second

// v2writer writes to the v2 API of a cluster, through one member: a write that another one has got twice could be
// executed a second time at any later moment.
//
// What it writes must not outlive its command. Etcd may execute a request late, when its client has long left, and a
// command that was stopped goes on where it was, when the next one has moved the keys and clients write to the v2 API.
// The v2 API has no lock that would refuse these. So each write depends on what the lock of the tree has protected:
//
//   - Before it is sent, a read that begins then says that the lock is held.
//   - A file is changed or removed if it still has the index that was read before that.
//   - A file is created for [trial] only, and made permanent by such a change.
//   - Each command gives a new index to every file that has changed since the keys were moved. A change that an
//     earlier command has decided on expects the old one.
//
// Etcd has no such condition for directories. So a command says in the description of the tree that it writes, and one
// that finds this waits before the freeze until etcd has ended all requests of before. What is left is a command
// that is itself stopped between the read and its request until another one has moved the keys. Then an empty directory
// goes, or a file that a client has written in its place. Or a directory comes back, with the time to live that it had, and
// takes with it what clients write there; and the creation of a file makes those above it for good.
type v2writer struct {
	*member
	// held returns an error unless the command has its lock, and now is the clock.
	held func(context.Context) error
	now  func() time.Time
	// password is that of root while the v2 API is locked.
	password string
	// last is the index of the last of its writes.
	last atomic.Uint64
	// unsettled is set if etcd may still execute a write that does not depend on an index.
	unsettled atomic.Bool

	mu      sync.Mutex
	indexes map[string]uint64 // of files
}

// request is the request of a write.
type request struct {
	method, key string
	query       url.Values
	form        url.Values
	password    string // of root; "" for nobody
}

func (c request) HTTPRequest(endpoint url.URL) *http.Request {
	endpoint.Path, endpoint.RawQuery = "/v2/keys"+c.key, c.query.Encode()
	r, err := http.NewRequest(c.method, endpoint.String(), strings.NewReader(c.form.Encode())) //nolint:noctx // the library sets the context
	if err != nil {
		panic("BUG: a URL of a key is not valid: " + err.Error())
	}
	if c.form != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	if c.password != "" {
		r.SetBasicAuth("root", c.password)
	}
	return r
}

// The codes of errors of etcd that say what a key is.
const (
	codeNotFound = 100
	codeCompare  = 101
	codeNotDir   = 104
	codeExists   = 105
	codeNotEmpty = 108
)

// unanswered is the error of a write that etcd may have executed, and may still execute.
type unanswered struct{ error }

func isUnanswered(err error) bool {
	_, ok := errors.AsType[unanswered](err)
	return ok
}

// send sends a write once. It returns the node, or one of the codes that are accepted.
func (w *v2writer) send(ctx context.Context, c request, accepted ...int) (n *node, code int, err error) {
	response, body, err := w.client.Do(ctx, c) //nolint:bodyclose // Do reads and closes the body
	if ctx.Err() != nil {
		return nil, 0, ctx.Err()
	}
	if err != nil {
		return nil, 0, unanswered{fmt.Errorf("writing %q to the v2 API: %w", c.key, cluster.OneLine(err))}
	}
	index, err := w.own(response.Header)
	if err != nil {
		return nil, 0, fmt.Errorf("writing %q to the v2 API: %w", c.key, err)
	}
	for last := w.last.Load(); index > last && !w.last.CompareAndSwap(last, index); {
		last = w.last.Load()
	}
	var answer struct {
		Node, PrevNode *node
		ErrorCode      int
		Message        string
	}
	invalid := json.Unmarshal(body, &answer) != nil
	if response.StatusCode < 300 && !invalid && answer.Node != nil {
		answer.Node.previous = answer.PrevNode
		return answer.Node, 0, nil
	}
	for _, code := range accepted {
		if answer.ErrorCode == code {
			return nil, code, nil
		}
	}
	return nil, 0, fmt.Errorf("writing %q to the v2 API: it answers with the status %d: %q", c.key, response.StatusCode, answer.Message)
}

// own returns the index of an answer of this cluster.
func (m *member) own(head http.Header) (uint64, error) {
	index, err := strconv.ParseUint(head.Get("X-Etcd-Index"), 10, 64)
	if err != nil {
		return 0, errors.New("the answer has no index, so that it is not etcd's")
	}
	if of := head.Get("X-Etcd-Cluster-Id"); of != m.cluster.String() {
		return 0, fmt.Errorf("the answer is that of the cluster %q, want %s", of, m.cluster)
	}
	return index, nil
}

// askEvery is how many writes that raise the index each sender sends before it asks again whether the lock is held.
const askEvery = 16

// raise raises the index of the v2 API to one at least.
func (w *v2writer) raise(ctx context.Context, to uint64, add func(int64)) error {
	var mu sync.Mutex // only one goroutine may report
	return spread(ctx, make([]struct{}, maxSenders), func(int64) {}, func(ctx context.Context, _ *struct{}) error {
		for n := 0; w.last.Load() < to; n++ {
			if n%askEvery == 0 {
				if err := w.held(ctx); err != nil {
					return err
				}
			}
			if _, err := w.putOwn(ctx); err != nil {
				return err
			}
			mu.Lock()
			add(1)
			mu.Unlock()
		}
		return nil
	})
}

// putOwn writes the key of the command, which nobody else does. It makes no difference how often.
func (w *v2writer) putOwn(ctx context.Context) (*node, error) {
	form := url.Values{"value": {""}, "ttl": {seconds(ownTTL)}}
	n, _, err := w.repeat(ctx, request{method: http.MethodPut, key: ownKey, form: form, password: w.password})
	return n, err
}

func (w *v2writer) removeOwn(ctx context.Context) error {
	_, _, err := w.repeat(ctx, request{method: http.MethodDelete, key: ownKey, password: w.password}, codeNotFound)
	return err
}

// repeat sends a write again if there is no answer.
func (w *v2writer) repeat(ctx context.Context, c request, accepted ...int) (n *node, code int, err error) {
	for attempt := 1; ; attempt++ {
		n, code, err = w.send(ctx, c, accepted...)
		if !isUnanswered(err) || attempt == maxCalls {
			return n, code, err
		}
		if err := wait(ctx, callPause); err != nil {
			return nil, 0, err
		}
	}
}

// find returns a node as it is now, or nil if there is none.
func (w *v2writer) find(ctx context.Context, key string) (*v2store.Record, error) {
	for attempt := 1; ; attempt++ {
		list, err := w.list(ctx, key, "quorum=true")
		switch {
		case err == nil && len(list) == 0:
			return nil, nil
		case err == nil:
			return &list[0], nil
		case ctx.Err() != nil:
			return nil, ctx.Err()
		case !isUnanswered(err) || attempt == maxCalls:
			return nil, err
		}
		if err := wait(ctx, callPause); err != nil {
			return nil, err
		}
	}
}

// below reads a key and what etcd lists below it. It returns nothing if there is no such key.
func (w *v2writer) below(ctx context.Context, key string) ([]v2store.Record, error) {
	return w.list(ctx, key, "quorum=true&recursive=true")
}

func (w *v2writer) list(ctx context.Context, key, query string) ([]v2store.Record, error) {
	response, body, err := w.client.Do(ctx, get{"/v2/keys" + key, query}) //nolint:bodyclose // Do reads and closes the body
	if err != nil {
		return nil, unanswered{fmt.Errorf("reading %q from the v2 API: %w", key, cluster.OneLine(err))}
	}
	var answer struct {
		Node      *node
		ErrorCode int
	}
	if _, err := w.own(response.Header); err != nil {
		return nil, fmt.Errorf("reading %q from the v2 API: %w", key, err)
	}
	switch invalid := json.Unmarshal(body, &answer) != nil; {
	case answer.ErrorCode == codeNotFound, answer.ErrorCode == codeNotDir: // a part of it is a file
		return nil, nil
	case invalid || response.StatusCode != http.StatusOK || answer.Node == nil:
		return nil, fmt.Errorf("reading %q from the v2 API: it answers with the status %d", key, response.StatusCode)
	}
	return answer.Node.flat(nil), nil
}

// seconds returns a time to live as etcd takes it, rounded up.
func seconds(d time.Duration) string {
	return strconv.FormatInt(int64((d+time.Second-1)/time.Second), 10)
}

package faults

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"etcd-tlsproxy/proxy/proxytest/exact"
	"etcd-tlsproxy/proxy/v2store"
)

// watcher is a client that watches through one proxy after the other.
type watcher struct {
	*round
	name string
	// key is the only key that it watches, or "" for all.
	key  string
	http *http.Client
	at   int // the proxy
	last atomic.Uint64

	mu     sync.Mutex
	events []exact.Seen
	jumps  []exact.Jump
	// end is closed when there is an end, the index up to which it watches.
	ending chan struct{}
	end    uint64
}

func (r *round) newWatcher(name, key string, at int) *watcher {
	w := &watcher{round: r, name: name, key: key, http: newHTTPClient(), at: at, ending: make(chan struct{})}
	w.last.Store(r.history.After)
	return w
}

// finish lets the watcher end when it has received the event of an index.
func (w *watcher) finish(index uint64) {
	w.end = index
	close(w.ending)
}

// maxPoll is how long it waits at one proxy, which may be behind.
const maxPoll = 2 * time.Second

// run watches until the end.
func (w *watcher) run() {
	defer w.http.CloseIdleConnections()
	for after := w.last.Load(); ; w.at = (w.at + 1) % machines {
		select {
		case <-w.Context().Done(): // the test has failed
			return
		case <-w.ending:
			if after >= w.end {
				return
			}
		default:
		}
		after = w.poll(after)
		w.last.Store(after)
	}
}

// poll waits for one event after an index, and returns the index of the event, or the same one.
func (w *watcher) poll(after uint64) uint64 {
	ctx, cancel := context.WithTimeout(context.Background(), maxPoll)
	defer cancel()
	key, query := w.directory, "&recursive=true"
	if w.key != "" {
		key, query = w.key, ""
	}
	a, err := send(ctx, w.http, "GET", fmt.Sprintf("%s/v2/keys%s?wait=true&waitIndex=%d%s", w.url(w.at), key, after+1, query), "")
	var failure v2store.Error
	e := new(v2store.Event)
	switch {
	case err != nil || len(a.body) == 0: // broken off
		return after
	case a.status == 200 && decode(a.body, e) && e.Node != nil:
	case decode(a.body, &failure) && failure.Code == v2store.CodeEventIndexCleared:
		return w.readAgain(ctx, after)
	case a.status == http.StatusServiceUnavailable:
		pause(ctx, 5*time.Millisecond)
		return after
	default:
		w.finding("%s: watching after %d at proxy %d: an unexpected answer: %d %s", w.name, after, w.at, a.status, a.body)
		return after
	}
	if e.Node.ModifiedIndex <= after {
		w.finding("%s: watching after %d at proxy %d: received an old event: %s", w.name, after, w.at, a.body)
		return after
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.events = append(w.events, exact.Seen{Event: e, At: time.Now(), Proxy: w.at})
	return e.Node.ModifiedIndex
}

// readAgain reads all keys, because the proxy does not know the next event any more.
func (w *watcher) readAgain(ctx context.Context, after uint64) uint64 {
	if !w.kind.forgets {
		w.finding("%s: watching after %d at proxy %d: the event is forgotten, without a reason", w.name, after, w.at)
	}
	a, err := send(ctx, w.http, "GET", w.url(w.at)+"/v2/keys"+w.directory+"?quorum=true&recursive=true", "")
	j := exact.Jump{After: after, To: a.index, Tree: exact.Tree{}}
	e := new(v2store.Event)
	switch {
	case err != nil || a.status != 200 && a.status != 404 || a.index <= after:
		return after
	case a.status == 200 && decode(a.body, e) && e.Node != nil:
		j.Tree = exact.NewTree(e.Node)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.jumps = append(w.jumps, j)
	return a.index
}

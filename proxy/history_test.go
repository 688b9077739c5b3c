package proxy

import (
	"encoding/json"
	"etcd-tlsproxy/proxy/gate"
	"etcd-tlsproxy/proxy/lane"
	"fmt"
	"math"
	"math/rand/v2"
	"net/http"
	"net/url"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"etcd-tlsproxy/proxy/proxytest"
	"etcd-tlsproxy/proxy/share"
	"etcd-tlsproxy/proxy/upstream"
)

// What a client did to the one key of a history, and what came of it.
type (
	historyCall struct {
		kind       string // read, write or cas
		value, old string
	}
	historyResult struct {
		value   string // read
		swapped bool   // cas
		unknown bool   // whether it was carried out is not known
	}
)

// register is a key that is read and written: the order of everything that
// clients saw must be one that a single key could have gone through.
var register = porcupine.Model{
	Init: func() any { return "" },
	Step: func(state, call, result any) (bool, any) {
		c, r := call.(historyCall), result.(historyResult)
		switch c.kind {
		case "read":
			return r.value == state.(string), state
		case "write":
			return true, c.value
		}
		if state.(string) == c.old {
			return r.swapped || r.unknown, c.value
		}
		return !r.swapped, state
	},
}

// history is what clients did, with times.
type history struct {
	mu    sync.Mutex
	began time.Time
	ops   []porcupine.Operation
}

func (h *history) add(client int, call historyCall, asked, answered time.Duration, result historyResult) {
	end := int64(answered)
	if result.unknown {
		end = math.MaxInt64 // it may be carried out at any time, or never: after all else
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.ops = append(h.ops, porcupine.Operation{ClientId: client, Input: call, Call: int64(asked), Output: result, Return: end})
}

// do makes one random request and records it. With quorum no read is a plain one:
// those of a member show what it knows, which may be less than another.
func (h *history) do(t *testing.T, f *front, client *http.Client, id, n int, quorum bool) {
	t.Helper()
	key := f.url() + "/v2/keys/conftool/register"
	value := fmt.Sprintf("%d-%d", id, n)
	call := historyCall{kind: "read"}
	method, form := "GET", ""
	switch rand.IntN(6) {
	case 0:
		call = historyCall{kind: "write", value: value}
		method, form = "PUT", url.Values{"value": {value}}.Encode()
	case 1:
		call = historyCall{kind: "cas", value: value, old: fmt.Sprintf("%d-%d", rand.IntN(4), n)}
		method, form = "PUT", url.Values{"value": {value}, "prevValue": {call.old}}.Encode()
	case 2, 3:
		quorum = true
	}
	if quorum && call.kind == "read" {
		key += "?quorum=true"
	}
	asked := time.Since(h.began)
	status, body, _ := do(t, client, method, key, "conftool", form)
	answered := time.Since(h.began)
	var answer struct{ Node struct{ Value string } }
	if err := json.Unmarshal([]byte(body), &answer); err != nil {
		t.Errorf("%s: %d %s", call.kind, status, body)
	}
	switch {
	case body == gate.RefuseUnreachable.Body, call.kind == "read" && status >= 500:
		return // nothing was carried out, or seen
	case status >= 500:
		h.add(id, call, asked, answered, historyResult{unknown: true})
	case call.kind == "read" && status == 404:
		h.add(id, call, asked, answered, historyResult{})
	case call.kind == "cas" && (status == 412 || status == 404):
		h.add(id, call, asked, answered, historyResult{})
	case status == 200 || status == 201:
		h.add(id, call, asked, answered, historyResult{value: answer.Node.Value, swapped: true})
	default:
		t.Errorf("%s: %d %s", call.kind, status, body)
	}
}

// check looks for an order that explains the history.
func (h *history) check(t *testing.T, shared uint64) {
	t.Helper()
	if got := porcupine.CheckOperationsTimeout(register, h.ops, time.Minute); got != porcupine.Ok {
		t.Errorf("a history of %d operations is not linearizable: %v", len(h.ops), got)
	}
	t.Logf("%d operations, %d reads shared", len(h.ops), shared)
}

func TestHistoriesThroughTheProxyAreLinearizable(t *testing.T) {
	withEtcd(t, func(t *testing.T, f *front, e etcd) {
		h := &history{began: time.Now()}
		clients := 12
		if proxytest.UnderRaceDetector() {
			clients = 5 // each can leave a write of unknown outcome: the search doubles with it
		}
		var all sync.WaitGroup
		for id := range clients {
			all.Go(func() {
				client := f.client("h1")
				for n := range 100 {
					h.do(t, f, client, id, n, false)
				}
			})
		}
		if etcd, ok := e.(*proxytest.Process); ok { // it dies and comes back in the middle
			h.await(t, 400)
			etcd.Kill()
			if err := etcd.Start(); err != nil {
				t.Error(err)
			}
		}
		all.Wait()
		h.check(t, f.metrics.SharedReads.Load())
	})
}

// await waits until so many operations are done.
func (h *history) await(t *testing.T, n int) {
	t.Helper()
	eventually(t, fmt.Sprintf("%d operations are done", n), func() bool {
		h.mu.Lock()
		defer h.mu.Unlock()
		return len(h.ops) > n
	})
}

// TestHistoriesThroughTwoProxiesOfAClusterAreLinearizable has one member behind
// each proxy. One of them dies and comes back, then the other is stopped for longer
// than the proxy waits, and goes on.
func TestHistoriesThroughTwoProxiesOfAClusterAreLinearizable(t *testing.T) {
	path, _, ok := proxytest.FindEtcd()
	if !ok {
		t.Skip("no etcd 3.4 or 3.5 is installed")
	}
	dir := func() proxytest.Options { return proxytest.Options{Dir: t.TempDir()} }
	members, err := proxytest.StartCluster(path, dir(), dir(), dir())
	for _, m := range members {
		t.Cleanup(m.Close)
	}
	if err != nil {
		t.Fatal(err)
	}
	var fronts []*front
	var shared atomic.Uint64
	for _, m := range members[:2] {
		fronts = append(fronts, newFront(t, listen(t), m.URL(), func(s *lane.Snapshot, _ *proxytest.PKI) { impatient(t, m.URL(), s, &shared) }))
	}
	h := &history{began: time.Now()}
	var all sync.WaitGroup
	for id := range 12 {
		all.Go(func() {
			f := fronts[id%2]
			client := f.client("h1")
			for n := range 100 {
				h.do(t, f, client, id, n, true)
			}
		})
	}
	h.await(t, 300)
	members[0].Kill()
	if err := members[0].Start(); err != nil {
		t.Error(err)
	}
	h.await(t, 600)
	members[1].Signal(syscall.SIGSTOP)

	eventually(t, "the stopped member is noticed", func() bool { return timeouts(fronts[1]) >= 3 })
	members[1].Signal(syscall.SIGCONT)
	all.Wait()
	h.check(t, shared.Load())
}

// impatient puts a pool in place that waits half a second for an answer.
func impatient(t *testing.T, url string, s *lane.Snapshot, shared *atomic.Uint64) {
	t.Helper()
	s.Upstream.Close()
	at, err := upstream.ParseEndpoint(url)
	if err != nil {
		t.Fatal(err)
	}
	if s.Upstream, err = upstream.New(upstream.Options{RawSockets: true, Endpoints: []upstream.Endpoint{at}, HeaderTimeout: 500 * time.Millisecond}); err != nil {
		t.Fatal(err)
	}
	s.Reads = share.NewReads(s.Upstream, shared)
}

// TestAStaleReadIsNotLinearizable shows that the check can fail.
func TestAStaleReadIsNotLinearizable(t *testing.T) {
	h := &history{}
	h.add(0, historyCall{kind: "write", value: "1"}, 1, 2, historyResult{})
	h.add(1, historyCall{kind: "read"}, 3, 4, historyResult{value: ""})
	if porcupine.CheckOperations(register, h.ops) {
		t.Error("a read from before a write that was acknowledged passes")
	}
}

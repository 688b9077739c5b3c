package proxy_test

import (
	"encoding/json"
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

	"etcd-tlsproxy/proxy/gate"
	"etcd-tlsproxy/proxy/lane"
	"etcd-tlsproxy/proxy/proxytest"
	"etcd-tlsproxy/proxy/proxytest/fronttest"
	"etcd-tlsproxy/proxy/share"
	"etcd-tlsproxy/proxy/upstream"
)

// The calls of clients to the one key of a history, and their results.
type (
	historyCall struct {
		kind       string // read, write or cas
		value, old string
	}
	historyResult struct {
		value   string // read
		swapped bool   // cas
		unknown bool   // the write may have been carried out or not
	}
)

// register is the model of a key that is read and written. A history is linearizable if
// some order of its calls explains all results.
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

// history records the calls of clients with their times.
type history struct {
	mu    sync.Mutex
	began time.Time
	ops   []porcupine.Operation
}

func (h *history) add(client int, call historyCall, start, end time.Duration, result historyResult) {
	returned := int64(end)
	if result.unknown {
		returned = math.MaxInt64 // it may be carried out at any later time, or never
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.ops = append(h.ops, porcupine.Operation{ClientId: client, Input: call, Call: int64(start), Output: result, Return: returned})
}

// do makes one random request and records it. If quorum is set, every read is a quorum
// read: a plain read returns what one member knows, which may be older than what another
// member has returned.
func (h *history) do(t *testing.T, f *fronttest.Front, client *http.Client, id, n int, quorum bool) {
	t.Helper()
	key := f.URL() + "/v2/keys/conftool/register"
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
	start := time.Since(h.began)
	status, body, _ := fronttest.Do(t, client, method, key, "conftool", form)
	end := time.Since(h.began)
	var answer struct{ Node struct{ Value string } }
	if err := json.Unmarshal([]byte(body), &answer); err != nil {
		t.Errorf("%s: got %d and a body without a value: %s", call.kind, status, body)
	}
	switch {
	case body == gate.RefuseUnreachable.Body, body == gate.RefuseStore.Body, call.kind == "read" && status >= 500:
		return // nothing was carried out or read
	case status >= 500:
		h.add(id, call, start, end, historyResult{unknown: true})
	case call.kind == "read" && status == 404:
		h.add(id, call, start, end, historyResult{})
	case call.kind == "cas" && (status == 412 || status == 404):
		h.add(id, call, start, end, historyResult{})
	case status == 200 || status == 201:
		h.add(id, call, start, end, historyResult{value: answer.Node.Value, swapped: true})
	default:
		t.Errorf("%s: got the unexpected answer %d %s", call.kind, status, body)
	}
}

// check fails the test if the history is not linearizable.
func (h *history) check(t *testing.T, shared uint64) {
	t.Helper()
	if got := porcupine.CheckOperationsTimeout(register, h.ops, 10*time.Minute); got != porcupine.Ok {
		t.Errorf("checking a history of %d operations: got %v, want %v", len(h.ops), got, porcupine.Ok)
	}
	t.Logf("%d operations, %d reads shared", len(h.ops), shared)
}

func TestHistoriesThroughTheProxyAreLinearizable(t *testing.T) {
	t.Parallel()
	fronttest.EachEtcd(t, func(t *testing.T, f *fronttest.Front, e fronttest.Etcd) {
		h := &history{began: time.Now()}
		clients := 12
		if proxytest.UnderRaceDetector() {
			clients = 5 // a write of unknown outcome, of which each client can leave one, doubles the search
		}
		var all sync.WaitGroup
		for id := range clients {
			all.Go(func() {
				client := f.Client("h1")
				for n := range 100 {
					h.do(t, f, client, id, n, false)
				}
			})
		}
		if etcd, ok := e.(fronttest.Mortal); ok { // it is killed and restarted in the middle
			h.waitFor(t, 400)
			etcd.Kill()
			if err := etcd.Start(); err != nil {
				t.Error(err)
			}
		}
		all.Wait()
		h.check(t, f.Metrics.SharedReads.Load())
	})
}

// waitFor waits until more than n operations are recorded.
func (h *history) waitFor(t *testing.T, n int) {
	t.Helper()
	fronttest.Eventually(t, fmt.Sprintf("%d operations are done", n), func() bool {
		h.mu.Lock()
		defer h.mu.Unlock()
		return len(h.ops) > n
	})
}

// TestHistoriesThroughTwoProxiesOfAClusterAreLinearizable has one member behind
// each proxy. One member is killed and restarted. Then the other is stopped for longer
// than its proxy waits for an answer, and continued.
func TestHistoriesThroughTwoProxiesOfAClusterAreLinearizable(t *testing.T) {
	t.Parallel()
	fronttest.EachLane(t, func(t *testing.T, l fronttest.Lane) {
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
		if fronttest.V3() {
			fronttest.ServeStores(t, members[0].URL(), members[1].URL(), members[2].URL())
		}
		var fronts []*fronttest.Front
		var shared atomic.Uint64
		for _, m := range members[:2] {
			fronts = append(fronts, l.Front(t, m.URL(), func(s *lane.Snapshot, _ *proxytest.PKI) { impatient(t, m.URL(), s, &shared) }))
		}
		h := &history{began: time.Now()}
		var all sync.WaitGroup
		for id := range 12 {
			all.Go(func() {
				f := fronts[id%2]
				client := f.Client("h1")
				for n := range 100 {
					h.do(t, f, client, id, n, true)
				}
			})
		}
		h.waitFor(t, 300)
		members[0].Kill()
		if err := members[0].Start(); err != nil {
			t.Error(err)
		}
		h.waitFor(t, 600)
		members[1].Signal(syscall.SIGSTOP)
		fronttest.Eventually(t, "the stopped member is noticed", func() bool {
			if fronttest.V3() {
				return "http://"+fronts[1].Server.Status().Stores[0].Endpoint != members[1].URL()
			}
			return fronts[1].Counter("etcd_tlsproxy_upstream_failures_total", "timeout") >= 3
		})
		members[1].Signal(syscall.SIGCONT)
		all.Wait()
		h.check(t, shared.Load())
	})
}

// impatient replaces the pool by one that waits half a second for an answer.
func impatient(t *testing.T, url string, s *lane.Snapshot, shared *atomic.Uint64) {
	t.Helper()
	s.Upstream.Close()
	s.Upstream = fronttest.Pool(t, upstream.Options{HeaderTimeout: 500 * time.Millisecond}, url)
	s.Reads = share.NewReads(s.Upstream, shared)
}

// TestAStaleReadIsNotLinearizable proves that the check can fail.
func TestAStaleReadIsNotLinearizable(t *testing.T) {
	h := &history{}
	h.add(0, historyCall{kind: "write", value: "1"}, 1, 2, historyResult{})
	h.add(1, historyCall{kind: "read"}, 3, 4, historyResult{value: ""})
	if porcupine.CheckOperations(register, h.ops) {
		t.Error("a history with a stale read counts as linearizable")
	}
}

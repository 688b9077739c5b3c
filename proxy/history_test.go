package proxy

import (
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"net/http"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"etcd-tlsproxy/proxy/proxytest"
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

// do makes one random request and records it.
func (h *history) do(t *testing.T, f *front, client *http.Client, id, n int) {
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
	case body == refuseUnreachable.Body, call.kind == "read" && status >= 500:
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
func (h *history) check(t *testing.T, f *front) {
	t.Helper()
	if got := porcupine.CheckOperationsTimeout(register, h.ops, time.Minute); got != porcupine.Ok {
		t.Errorf("a history of %d operations is not linearizable: %v", len(h.ops), got)
	}
	t.Logf("%d operations, %d reads shared", len(h.ops), f.metrics.SharedReads.Load())
}

func TestHistoriesThroughTheProxyAreLinearizable(t *testing.T) {
	withEtcd(t, func(t *testing.T, f *front, e etcd) {
		h := &history{began: time.Now()}
		var all sync.WaitGroup
		for id := range 12 {
			all.Go(func() {
				client := f.client("h1")
				for n := range 100 {
					h.do(t, f, client, id, n)
				}
			})
		}
		if etcd, ok := e.(*proxytest.Process); ok { // it dies and comes back in the middle
			eventually(t, "it is half done", func() bool {
				h.mu.Lock()
				defer h.mu.Unlock()
				return len(h.ops) > 400
			})
			etcd.Kill()
			if err := etcd.Start(); err != nil {
				t.Error(err)
			}
		}
		all.Wait()
		h.check(t, f)
	})
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

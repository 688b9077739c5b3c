package proxy_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"etcd-tlsproxy/proxy/proxytest/fronttest"
)

// direct sends a request to etcd itself. It returns the index after a write, and the answer.
func direct(t *testing.T, method, target string) (index uint64, body string) {
	t.Helper()
	resp, err := http.DefaultClient.Do(mustRequest(t, method, target, "value=1"))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	var event struct {
		Node struct{ ModifiedIndex uint64 }
	}
	if err := json.Unmarshal(data, &event); err != nil {
		t.Fatalf("%s %s: got %s, %v", method, target, data, err)
	}
	return event.Node.ModifiedIndex, string(data)
}

// TestSharedLateWatchesDifferFromThoseOfEtcdInFourWays pins what the reference says about
// watches with a waitIndex that the proxy remembers. Before each of them the key is watched
// already, and then something happens that only one of the two tells. The watches of a v3 store do not
// differ.
func TestSharedLateWatchesDifferFromThoseOfEtcdInFourWays(t *testing.T) {
	t.Parallel()
	l := fronttest.Fast
	f, e := l.Embedded(t, nil)
	keys := e.URL() + "/v2/keys"
	for what, c := range map[string]struct {
		key, query string
		before     []string // done before the key is watched
		happens    []string // the first has the index from which both are asked
		later      string   // the next event that both tell
		etcd, ours string   // in the answers
	}{
		"the end of the directory of a key that did not exist": {
			"/dir/none", "", []string{"PUT /dir/other"}, []string{"DELETE /dir?recursive=true"}, "PUT /dir/none",
			`"action":"delete","node":{"key":"/dir"`, `"action":"set","node":{"key":"/dir/none"`},
		"the end of a directory whose name begins like the key's": {
			"/ab", "", []string{"PUT /a/x", "PUT /ab"}, []string{"DELETE /a?recursive=true"}, "PUT /ab",
			`"action":"delete","node":{"key":"/a"`, `"action":"set","node":{"key":"/ab"`},
		"an event of a hidden key": {
			"/hidden", "&recursive=true", []string{"PUT /hidden/x"}, []string{"PUT /hidden/_x"}, "PUT /hidden/x",
			`"key":"/hidden/_x"`, `"key":"/hidden/x"`},
		"an event that etcd no longer remembers": {
			"/old", "", []string{"PUT /old"}, append([]string{"PUT /old"}, strings.Split(strings.Repeat("PUT /busy,", 1001)+"PUT /busy", ",")...), "PUT /old",
			`"errorCode":401`, `"action":"set","node":{"key":"/old"`},
	} {
		do := func(call string) uint64 {
			method, key, _ := strings.Cut(call, " ")
			index, _ := direct(t, method, keys+key)
			return index
		}
		for _, call := range c.before {
			do(call)
		}
		// A watcher that stays keeps the events of the key remembered.
		startWatch(t, f, fmt.Sprintf("GET /v2/keys%s?wait=true&waitIndex=1000000000%s HTTP/1.1\r\nHost: h\r\n\r\n", c.key, c.query))
		since := do(c.happens[0])
		for _, call := range c.happens[1:] {
			do(call)
		}
		watch := fmt.Sprintf("%s?wait=true&waitIndex=%d%s", c.key, since, c.query)
		if _, got := direct(t, "GET", keys+watch); !strings.Contains(got, c.etcd) {
			t.Errorf("%s: etcd tells %.300s, want %s", what, got, c.etcd)
		}
		request := "GET /v2/keys" + watch + " HTTP/1.1\r\nHost: h\r\n\r\n"
		if fronttest.V3() {
			if a := f.Exchange(request); !strings.Contains(a.Body, c.etcd) {
				t.Errorf("%s: the proxy tells %.300s, want %s", what, a.Body, c.etcd)
			}
			continue
		}
		conn, a := startWatch(t, f, request)
		do(c.later)
		if err := conn.ReadBody(a, "GET"); err != nil || !strings.Contains(a.Body, c.ours) {
			t.Errorf("%s: the proxy tells %.300s, %v; want %s", what, a.Body, err, c.ours)
		}
	}
}

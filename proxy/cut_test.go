package proxy

import (
	"encoding/json"
	"etcd-tlsproxy/proxy/gate"
	"etcd-tlsproxy/proxy/lane"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"etcd-tlsproxy/proxy/proxytest"
	"etcd-tlsproxy/proxy/upstream"
)

// queued is how often each value stands below a directory.
func queued(t *testing.T, url, dir string) map[string]int {
	t.Helper()
	resp, err := http.Get(url + "/v2/keys" + dir)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var answer struct {
		Node struct{ Nodes []struct{ Value string } }
	}
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
		t.Fatal(err)
	}
	values := map[string]int{}
	for _, node := range answer.Node.Nodes {
		values[node.Value]++
	}
	return values
}

// posts are writes by their value, and what their client was told: a POST makes a key each
// time it is carried out, so what became of them can be counted in etcd.
type posts map[string]string

func (ps posts) write(t *testing.T, f *front, client *http.Client, value string) (outcome string) {
	t.Helper()
	status, body, _ := do(t, client, "POST", f.url()+"/v2/keys/eventlogging/queue", "", "value="+value)
	switch {
	case status == 201 && strings.Contains(body, `"`+value+`"`):
		outcome = "written"
	case status == 503 && body == gate.RefuseUnreachable.Body:
		outcome = "not sent"
	case status == 503 && body == gate.RefuseUnknownOutcome.Body, status == 500 && strings.Contains(body, `"errorCode":300`):
		outcome = "unknown" // also if etcd itself says that it does not know
	default:
		t.Errorf("%s: %d %s", value, status, body)
	}
	ps[value] = outcome
	return outcome
}

func (ps posts) check(t *testing.T, url string) {
	t.Helper()
	values := queued(t, url, "/eventlogging/queue")
	for value, outcome := range ps {
		n := values[value]
		if n > 1 || outcome == "written" && n != 1 || outcome == "not sent" && n != 0 {
			t.Errorf("%s, which is %s, is in etcd %d times", value, outcome, n)
		}
		delete(values, value)
	}
	if len(values) > 0 {
		t.Errorf("nobody wrote %v", values)
	}
}

// TestNoWriteIsCarriedOutTwiceWhereverItsConnectionBreaks cuts the connection to etcd
// after each number of bytes of a request and of its answer.
func TestNoWriteIsCarriedOutTwiceWhereverItsConnectionBreaks(t *testing.T) {
	f, e := newEmbedded(t, nil)
	client := f.client("h1")
	wrote, outcomes := posts{}, map[string]int{}
	for direction, bytes := range map[int]int{proxytest.ToEtcd: 240, proxytest.FromEtcd: 460} {
		for n := range bytes {
			if n%3 > 0 { // else the connection is a new one
				do(t, client, "GET", f.url()+"/v2/keys", "", "")
			}
			e.CutAfter(direction, n)
			outcomes[wrote.write(t, f, client, fmt.Sprintf("%d-%d", direction, n))]++
			e.Mend()
		}
	}
	wrote.check(t, e.URL())
	if outcomes["written"] == 0 || outcomes["unknown"] == 0 {
		t.Errorf("the outcomes are %v", outcomes)
	}
}

// TestNoReadIsHalfAnAnswerWhereverItsConnectionBreaks does the same with reads, which may
// be sent again.
func TestNoReadIsHalfAnAnswerWhereverItsConnectionBreaks(t *testing.T) {
	f, e := newEmbedded(t, nil)
	client := f.client("h1")
	want := ""
	for n := range 460 {
		if n > 0 {
			e.CutAfter(proxytest.FromEtcd, n-1)
		}
		status, body, _ := do(t, client, "GET", f.url()+"/v2/keys?recursive=true", "", "")
		e.Mend()
		switch {
		case n == 0:
			want = body
		case status == 200 && body != want, status != 200 && status != 502 && status != 503:
			t.Errorf("cut after %d bytes: %d %q", n, status, body)
		}
	}
}

// TestThePreferredMemberServesAgainWhenItIsBack is before a cluster of three, of which the
// preferred member dies. Who answers says so itself.
func TestThePreferredMemberServesAgainWhenItIsBack(t *testing.T) {
	path, _, ok := proxytest.FindEtcd()
	if !ok {
		t.Skip("a member that can be killed is a process; no etcd is installed")
	}
	var options []proxytest.Options
	for range 3 {
		options = append(options, proxytest.Options{Dir: t.TempDir()})
	}
	members, err := proxytest.StartCluster(path, options...)
	for _, m := range members {
		t.Cleanup(m.Close)
	}
	if err != nil {
		t.Fatal(err)
	}
	f := newFront(t, listen(t), members[0].URL(), func(s *lane.Snapshot, _ *proxytest.PKI) {
		s.Upstream.Close()
		var endpoints []upstream.Endpoint
		for _, m := range members {
			at, err := upstream.ParseEndpoint(m.URL())
			if err != nil {
				t.Fatal(err)
			}
			endpoints = append(endpoints, at)
		}
		if s.Upstream, err = upstream.New(upstream.Options{RawSockets: true, Endpoints: endpoints}); err != nil {
			t.Fatal(err)
		}
		s.Reads, s.Watches = nil, nil // they belong to the pool before
	})
	client := f.client("h1")
	serving := func() string {
		_, body, _ := do(t, client, "GET", f.url()+"/v2/stats/self", "", "")
		var self struct{ Name string }
		_ = json.Unmarshal([]byte(body), &self) // an error of the proxy's own has no name
		return self.Name
	}
	if name := serving(); name != "member0" {
		t.Fatalf("%s serves at first", name)
	}
	members[0].Kill()
	eventually(t, "another member serves", func() bool { return serving() == "member1" })
	wrote, n := posts{}, 0
	eventually(t, "twenty writes are carried out", func() bool {
		if wrote.write(t, f, client, fmt.Sprintf("%d-%d", n, len(wrote))) == "written" {
			n++
		}
		return n == 20
	})
	if err := members[0].Start(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the preferred one serves again", func() bool { return serving() == "member0" })
	wrote.check(t, members[1].URL())
}

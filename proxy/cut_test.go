package proxy_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"etcd-tlsproxy/proxy/gate"
	"etcd-tlsproxy/proxy/lane"
	"etcd-tlsproxy/proxy/proxytest"
	"etcd-tlsproxy/proxy/proxytest/fronttest"
	"etcd-tlsproxy/proxy/upstream"
)

// queued counts each value below a directory.
func queued(t *testing.T, client *http.Client, url, dir string) map[string]int {
	t.Helper()
	_, body, _ := fronttest.Do(t, client, "GET", url+"/v2/keys"+dir, "", "")
	var answer struct {
		Node struct{ Nodes []struct{ Value string } }
	}
	if err := json.Unmarshal([]byte(body), &answer); err != nil {
		t.Fatalf("reading %s: got %s, %v", dir, body, err)
	}
	values := map[string]int{}
	for _, node := range answer.Node.Nodes {
		values[node.Value]++
	}
	return values
}

// posts maps the value of each write to the outcome that its client received. A POST makes
// a key each time it is carried out, so the outcomes can be compared with etcd.
type posts map[string]string

func (ps posts) write(t *testing.T, f *fronttest.Front, client *http.Client, value string) (outcome string) {
	t.Helper()
	status, body, _ := fronttest.Do(t, client, "POST", f.URL()+"/v2/keys/eventlogging/queue", "", "value="+value)
	switch {
	case status == 201 && strings.Contains(body, `"`+value+`"`),
		status == 503 && strings.Contains(body, `"The answer is lost"`): // a store knows that the write was carried out
		outcome = "written"
	case status == 503 && (body == gate.RefuseUnreachable.Body || body == gate.RefuseStore.Body || body == gate.RefuseUpstreamBusy.Body):
		outcome = "not sent"
	case status == 503 && body == gate.RefuseUnknownOutcome.Body, status == 500 && strings.Contains(body, `"errorCode":300`):
		outcome = "unknown" // also if etcd itself reports that it does not know
	default:
		t.Errorf("writing %s: got %d %s, want 201 or a known refusal", value, status, body)
	}
	ps[value] = outcome
	return outcome
}

func (ps posts) check(t *testing.T, client *http.Client, url string) {
	t.Helper()
	values := queued(t, client, url, "/eventlogging/queue")
	for value, outcome := range ps {
		n := values[value]
		if n > 1 || outcome == "written" && n != 1 || outcome == "not sent" && n != 0 {
			t.Errorf("write %s with the outcome %s: got it %d times in etcd, want a number that agrees with the outcome", value, outcome, n)
		}
		delete(values, value)
	}
	if len(values) > 0 {
		t.Errorf("etcd has values that were never written: %v", values)
	}
}

// TestNoWriteIsCarriedOutTwiceWhereverItsConnectionBreaks cuts the connection to etcd
// after each number of bytes of a request and of its answer.
func TestNoWriteIsCarriedOutTwiceWhereverItsConnectionBreaks(t *testing.T) {
	t.Parallel()
	fronttest.EachLane(t, func(t *testing.T, l fronttest.Lane) {
		f, e := l.Embedded(t, nil)
		client := f.Client("h1")
		wrote, outcomes := posts{}, map[string]int{}
		for direction, bytes := range map[int]int{proxytest.ToEtcd: 240, proxytest.FromEtcd: 460} {
			step := 1
			if fronttest.V3() {
				step = 120 // a write waits for its outcome until its timeout
			}
			for n := 0; n < bytes; n += step {
				if fronttest.V3() {
					fronttest.Eventually(t, "the store is followed", func() bool {
						status, _, _ := fronttest.Do(t, client, "GET", f.URL()+"/v2/keys?quorum=true", "", "")
						return status == 200
					})
				}
				if n%3 > 0 { // otherwise the write opens a new connection to etcd
					fronttest.Do(t, client, "GET", f.URL()+"/v2/keys", "", "")
				}
				e.CutAfter(direction, n)
				outcomes[wrote.write(t, f, client, fmt.Sprintf("%d-%d", direction, n))]++
				e.Mend()
			}
		}
		wrote.check(t, http.DefaultClient, e.URL())
		if outcomes["written"] == 0 || outcomes["unknown"] == 0 && !fronttest.V3() {
			t.Errorf("got the outcomes %v, want some written and some unknown", outcomes)
		}
	})
}

// TestNoReadIsHalfAnAnswerWhereverItsConnectionBreaks does the same with reads,
// which the proxy may send again.
func TestNoReadIsHalfAnAnswerWhereverItsConnectionBreaks(t *testing.T) {
	t.Parallel()
	fronttest.EachLane(t, func(t *testing.T, l fronttest.Lane) {
		f, e := l.Embedded(t, nil)
		client := f.Client("h1")
		want := ""
		for n := range 460 {
			if n > 0 {
				e.CutAfter(proxytest.FromEtcd, n-1)
			}
			status, body, _ := fronttest.Do(t, client, "GET", f.URL()+"/v2/keys?recursive=true", "", "")
			e.Mend()
			switch {
			case n == 0:
				want = body
			case status == 200 && body != want, status != 200 && status != 502 && status != 503:
				t.Errorf("reading with the connection cut after %d bytes: got %d %q, want 502, 503, or 200 and %q", n-1, status, body, want)
			}
		}
	})
}

// TestThePreferredMemberServesAgainWhenItIsBack kills and restarts the preferred member
// of a cluster of three. The member that answers is known by the name in its statistics.
func TestThePreferredMemberServesAgainWhenItIsBack(t *testing.T) {
	t.Parallel()
	fronttest.EachLane(t, func(t *testing.T, l fronttest.Lane) {
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
		f := l.Front(t, members[0].URL(), func(s *lane.Snapshot, _ *proxytest.PKI) {
			s.Upstream.Close()
			s.Upstream = fronttest.Pool(t, upstream.Options{}, members[0].URL(), members[1].URL(), members[2].URL())
			s.Reads, s.Watches = nil, nil // they use the pool that was closed
		})
		client := f.Client("h1")
		serving := func() string {
			_, body, _ := fronttest.Do(t, client, "GET", f.URL()+"/v2/stats/self", "", "")
			var self struct{ Name string }
			_ = json.Unmarshal([]byte(body), &self) // the body of a refusal has no name
			return self.Name
		}
		if name := serving(); name != "member0" {
			t.Fatalf("%s serves at first, want member0", name)
		}
		members[0].Kill()
		fronttest.Eventually(t, "another member serves", func() bool { return serving() == "member1" })
		wrote, n := posts{}, 0
		fronttest.Eventually(t, "twenty writes are carried out", func() bool {
			if wrote.write(t, f, client, fmt.Sprintf("%d-%d", n, len(wrote))) == "written" {
				n++
			}
			return n == 20
		})
		if err := members[0].Start(); err != nil {
			t.Fatal(err)
		}
		fronttest.Eventually(t, "the preferred one serves again", func() bool { return serving() == "member0" })
		wrote.check(t, http.DefaultClient, members[1].URL())
	})
}

package daemon_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/daemon/daemontest"
	"etcd-tlsproxy/proxy/v2v3/layout"
	"etcd-tlsproxy/proxy/v2v3/rpc"
)

// autoConfig is the small configuration whose store says which API has the keys.
func autoConfig(etcd string) string {
	return strings.Replace(fmt.Sprintf(daemontest.SeedConfig, etcd), "[upstream]\n", "[upstream]\napi = \"auto\"\nprefix = \"p\"\n", 1)
}

// mover does in the store what a command does that moves the keys.
type mover struct {
	*testing.T
	kv   *rpc.Client
	keys layout.Keys
}

func (m *mover) put(key []byte, value []byte) int64 {
	m.Helper()
	answer, err := m.kv.Put(m.Context(), &pb.PutRequest{Key: key, Value: value})
	if err != nil {
		m.Fatal(err)
	}
	return answer.Header.Revision
}

// freeze takes the lock and freezes the tree.
func (m *mover) freeze() int64 {
	m.put(m.keys.Lock(), []byte("{}"))
	meta := layout.Meta{Schema: layout.Schema, MinRead: layout.Schema, MinWrite: layout.Schema, State: layout.Frozen}
	return m.put(m.keys.Meta(), meta.Encode())
}

// sessions returns what all sessions of proxies say.
func (m *mover) sessions() (all []*layout.Presence) {
	m.Helper()
	start := m.keys.Session("")
	answer, err := m.kv.Range(m.Context(), &pb.RangeRequest{Key: start, RangeEnd: layout.End(start)})
	if err != nil {
		m.Fatal(err)
	}
	for _, kv := range answer.Kvs {
		p, err := layout.DecodePresence(kv.Value)
		if err != nil {
			m.Fatal(err)
		}
		all = append(all, p)
	}
	return all
}

// acknowledged reports whether a proxy holds its writes because of a revision.
func (m *mover) acknowledged(revision int64) bool {
	m.Helper()
	return slices.ContainsFunc(m.sessions(), func(p *layout.Presence) bool { return p.Auto && p.Frozen == revision })
}

// processes returns how many sessions there are, and of how many processes.
func (m *mover) processes() (sessions, processes int) {
	m.Helper()
	all := map[string]bool{}
	list := m.sessions()
	for _, p := range list {
		if p.Process == "" {
			m.Errorf("the session %+v does not say whose it is", *p)
		}
		all[p.Process] = true
	}
	return len(list), len(all)
}

// live gives the store a tree with one key, whose last event has the given index.
func (m *mover) live(index uint64) {
	m.put(m.keys.Dir("/conftool"), nil)
	m.put(m.keys.File("/conftool/moved"), nil)
	m.put(m.keys.Data("/conftool/moved"), []byte("moved"))
	mark := layout.Entry{Action: layout.Mark, Time: time.Now().UnixNano()}
	revision := m.put(m.keys.Log(), mark.Encode())
	meta := layout.Meta{Schema: layout.Schema, MinRead: layout.Schema, MinWrite: layout.Schema, State: layout.Live, Moved: true,
		Offset: int64(index) - revision, Generation: "g"}
	m.put(m.keys.Meta(), meta.Encode())
}

// send sends a request as root, and returns its outcome later.
func (c *storeClient) send(method, target string) <-chan string {
	return c.sendUntil(context.Background(), method, target)
}

// sendUntil is send, but leaves when ctx ends.
func (c *storeClient) sendUntil(ctx context.Context, method, target string) <-chan string {
	done := make(chan string, 1)
	go func() {
		req, err := http.NewRequestWithContext(ctx, method, c.s.URL+target, nil)
		if err != nil {
			done <- err.Error()
			return
		}
		req.SetBasicAuth("root", "root-1")
		resp, err := c.Do(req)
		if err != nil {
			done <- err.Error()
			return
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		done <- fmt.Sprint(resp.StatusCode, " ", string(body), " ", err)
	}()
	return done
}

func TestTheKeysMoveFromTheV2APIToTheStore(t *testing.T) {
	e := startEtcd(t)
	s := daemontest.Start(t, autoConfig(e.URL()))
	c := &storeClient{&http.Client{Transport: s.Transport()}, s}
	m := &mover{t, v3Client(t, e.URL()), "p"}
	defer m.kv.Close()
	if status, body := c.do("PUT", "/v2/keys/conftool/a?value=1"); status != 201 {
		t.Fatalf("a write before the keys are moved: got %d %s, want 201", status, body)
	}
	watch := c.send("GET", "/v2/keys/conftool?wait=true&recursive=true")
	s.Eventually("the watch runs", func() bool {
		_, body := s.Admin("GET", "/metrics")
		return strings.Contains(body, "etcd_tlsproxy_watches 1\n")
	})

	revision := m.freeze()
	s.Eventually("the proxy says that it holds writes", func() bool { return m.acknowledged(revision) })
	http2 := &storeClient{&http.Client{Transport: s.Transport()}, s}
	http2.Transport.(*http.Transport).ForceAttemptHTTP2 = true
	held, heldToo := c.send("PUT", "/v2/keys/conftool/b?value=2"), http2.send("PUT", "/v2/keys/conftool/c?value=3")
	for _, client := range []*storeClient{c, http2} {
		leaving, leave := context.WithCancel(context.Background())
		gone := client.sendUntil(leaving, "PUT", "/v2/keys/conftool/gone?value=4")
		s.WaitForMetric("etcd_tlsproxy_changeover_held_writes 3")
		leave()
		<-gone
		s.WaitForMetric("etcd_tlsproxy_changeover_held_writes 2")
	}
	if status, body := c.do("GET", "/v2/keys/conftool/a"); status != 200 || !strings.Contains(body, `"value":"1"`) {
		t.Errorf("a read while the keys are moved: got %d %s, want the value 1", status, body)
	}
	select {
	case outcome := <-held:
		t.Errorf("a write while the keys are moved: got %s, want it held", outcome)
	default:
	}
	m.live(1000)
	if outcome := <-held; !strings.HasPrefix(outcome, "201 ") || !strings.Contains(outcome, `"modifiedIndex":1`) {
		t.Errorf("the write that was held: got %s, want 201 and an index above 1000", outcome)
	}
	if outcome := <-heldToo; !strings.HasPrefix(outcome, "201 ") {
		t.Errorf("the write that was held on HTTP/2: got %s, want 201", outcome)
	}
	if status, body := c.do("GET", "/v2/keys/conftool/gone"); status != 404 {
		t.Errorf("a write whose client has left while it was held: got %d %s, want 404", status, body)
	}
	if outcome := <-watch; !strings.Contains(outcome, "EOF") {
		t.Errorf("the watch at the v2 API: got %s, want it broken off", outcome)
	}
	if status, body := c.do("GET", "/v2/keys/conftool/moved"); status != 200 || !strings.Contains(body, `"value":"moved"`) {
		t.Errorf("a key that was moved: got %d %s, want its value", status, body)
	}
	if status, body := c.do("GET", "/v2/keys/conftool/a"); status != 404 {
		t.Errorf("a key that was not moved: got %d %s, want 404", status, body)
	}
	if value := readV3(t, e.URL(), "p/conftool/b"); value != "2" {
		t.Errorf("the write that was held is %q in the store, want 2", value)
	}
	if log := s.Log.String(); !strings.Contains(log, `msg="another API of etcd has the keys now" api=v3`) {
		t.Errorf("the log does not tell of the changeover:\n%s", log)
	}
	// A proxy that starts now serves the tree from its first answer on.
	later := daemontest.Start(t, autoConfig(e.URL()))
	after := &storeClient{&http.Client{Transport: later.Transport()}, later}
	if status, body := after.do("GET", "/v2/keys/conftool/b"); status != 200 || !strings.Contains(body, `"value":"2"`) {
		t.Errorf("a proxy that starts later: got %d %s, want the value 2", status, body)
	}
}

// TestAllSessionsOfAProxyAreThoseOfOneProcess has a reload change the connections to the members. The session by the
// earlier ones stays for a while.
func TestAllSessionsOfAProxyAreThoseOfOneProcess(t *testing.T) {
	e := startEtcd(t)
	s := daemontest.Start(t, autoConfig(e.URL()))
	m := &mover{t, v3Client(t, e.URL()), "p"}
	defer m.kv.Close()
	s.Write("etcd-tlsproxy.toml", strings.Replace(s.Read("etcd-tlsproxy.toml"), "[limits]\n", "[limits]\nupstream_requests = 500\n", 1))
	s.Hangup <- syscall.SIGHUP
	s.Eventually("the reload has made a second session", func() bool { sessions, _ := m.processes(); return sessions == 2 })
	if _, processes := m.processes(); processes != 1 {
		t.Errorf("got the sessions of %d processes, want one", processes)
	}
}

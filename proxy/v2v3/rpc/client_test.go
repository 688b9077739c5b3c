package rpc

import (
	"strings"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/metadata"

	"etcd-tlsproxy/proxy/proxytest"
)

func TestCallsGoToTheEndpointInUse(t *testing.T) {
	one, two := endpoint(t, startEtcd(t).URL()), endpoint(t, startEtcd(t).URL())
	c := newClient(t, "", "", one, two)
	if got := c.Endpoints(); got != 2 {
		t.Errorf("the number of endpoints is %d, want 2", got)
	}
	for at, e := range []Endpoint{one, two} {
		if at > 0 {
			if err := c.Use(at); err != nil {
				t.Fatal(err)
			}
		}
		if got, addr := c.Endpoint(); got != at || addr != e.Addr {
			t.Errorf("the endpoint is %d at %s, want %d at %s", got, addr, at, e.Addr)
		}
		put(t, c, "here", e.Addr)
		if got := get(t, newClient(t, "", "", e), "here"); got != e.Addr {
			t.Errorf("the endpoint %d has %q, want what was written there", at, got)
		}
	}
}

func TestAnAddressThatIsNoneIsAnError(t *testing.T) {
	bad := Endpoint{Addr: "one\x7f"}
	if _, err := New([]Endpoint{bad}, "", ""); err == nil || !strings.HasPrefix(err.Error(), "preparing the connection to one\x7f: ") {
		t.Errorf("a client: got the error %v, want one that names the address", err)
	}
	if _, err := Probe(testContext(t), bad, "", ""); err == nil {
		t.Error("a probe of a bad address succeeds")
	}
	etcd := endpoint(t, startEtcd(t).URL())
	c := newClient(t, "", "", etcd, bad)
	if err := c.Use(1); err == nil {
		t.Error("the bad endpoint is used")
	}
	if at, _ := c.Endpoint(); at != 0 {
		t.Errorf("the endpoint is %d, want the one that was in use", at)
	}
	put(t, c, "a", "1")
	if err := c.Probe(testContext(t), 1, []byte("a"), 1); err == nil {
		t.Error("a probe of the bad endpoint succeeds")
	}
}

// ended waits for the end of a watch.
func ended(t *testing.T, w *Watch) {
	t.Helper()
	end := make(chan error)
	go func() {
		_, _, err := w.Next()
		end <- err
	}()
	select {
	case err := <-end:
		if err == nil {
			t.Error("the watch goes on, want its end")
		}
	case <-testContext(t).Done():
		t.Fatal("the watch has not ended after 30 s")
	}
}

// alive makes a watch receive an event.
func alive(t *testing.T, w *Watch, c *Client) {
	t.Helper()
	put(t, c, "watched", "1")
	if _, events, err := w.Next(); err != nil || len(events) != 1 {
		t.Errorf("got %d events, %v, want that the watch goes on", len(events), err)
	}
}

func TestAnotherEndpointEndsCallsAtOnce(t *testing.T) {
	etcd := startEtcd(t)
	link, e := newLink(t, etcd)
	c := newClient(t, "", "", e, endpoint(t, etcd.URL()))
	w := watch(t, c, "watched", 0, false)
	if err := c.Use(1); err != nil {
		t.Fatal(err)
	}
	ended(t, w)
	if len(c.retired) != 0 {
		t.Errorf("%d connections are kept, want none", len(c.retired))
	}
	await(t, link)
}

// await waits until a link carries no connections.
func await(t *testing.T, link *proxytest.Link) {
	t.Helper()
	for ctx := testContext(t); link.Open() > 0; {
		select {
		case <-ctx.Done():
			t.Fatalf("%d connections are open after 30 s, want none", link.Open())
		case <-time.After(time.Millisecond):
		}
	}
}

func TestCallsAtTheOldEndpointHaveTimeLeft(t *testing.T) {
	etcd := startEtcd(t)
	link, e := newLink(t, etcd)
	c := newClient(t, "", "", e, endpoint(t, etcd.URL()))
	w := watch(t, c, "watched", 0, false)
	old := c.current()
	if err := c.UseWithin(1, time.Hour); err != nil {
		t.Fatal(err)
	}
	alive(t, w, c)
	c.discard(old)
	ended(t, w)
	await(t, link)
	if len(c.retired) != 0 {
		t.Errorf("%d connections are kept, want none", len(c.retired))
	}
}

func TestTheTimeLeftEnds(t *testing.T) {
	etcd := startEtcd(t)
	link, e := newLink(t, etcd)
	c := newClient(t, "", "", e, endpoint(t, etcd.URL()))
	w := watch(t, c, "watched", 0, false)
	if err := c.UseWithin(1, time.Nanosecond); err != nil {
		t.Fatal(err)
	}
	ended(t, w)
	await(t, link)
}

func TestAClosedClientEndsAllCalls(t *testing.T) {
	etcd := startEtcd(t)
	link, e := newLink(t, etcd)
	c := newClient(t, "", "", e, e)
	old := watch(t, c, "watched", 0, false)
	if err := c.UseWithin(1, time.Hour); err != nil {
		t.Fatal(err)
	}
	w := watch(t, c, "watched", 0, false)
	conn, before := c.current(), link.Open()
	if before != 2 {
		t.Fatalf("%d connections are open, want the old one and the new one", before)
	}
	c.Close()
	ended(t, old)
	ended(t, w)
	await(t, link)
	if got := conn.GetState(); got != connectivity.Shutdown || len(c.retired) != 0 {
		t.Errorf("the connection is %v and %d are kept, want that all are closed", got, len(c.retired))
	}
}

func TestAProbeNeedsTheCluster(t *testing.T) {
	etcd := startEtcd(t)
	link, e := newLink(t, etcd)
	c := newClient(t, "", "", endpoint(t, etcd.URL()), e)
	answer, err := c.Put(testContext(t), &pb.PutRequest{Key: []byte("a"), Value: make([]byte, 10_000)})
	if err != nil {
		t.Fatal(err)
	}
	c.LimitResponses(5_000) // a probe does not read the value
	cluster := answer.Header.ClusterId
	if err := c.Probe(testContext(t), 1, []byte("a"), cluster); err != nil {
		t.Errorf("a probe: %v", err)
	}
	if err := c.Probe(testContext(t), 1, []byte("a"), cluster+1); err == nil || err.Error() != "the endpoint belongs to another cluster" {
		t.Errorf("a probe of another cluster: got the error %v", err)
	}
	if at, _ := c.Endpoint(); at != 0 {
		t.Errorf("the endpoint is %d, want that a probe does not change it", at)
	}
	await(t, link)
	link.Cut()
	if err := c.Probe(testContext(t), 1, []byte("a"), cluster); err == nil {
		t.Error("a probe of an endpoint that cannot be reached succeeds")
	}
}

func TestAMemberWithoutALeaderFailsItsProbe(t *testing.T) {
	t.Parallel()
	cluster, err := proxytest.NewCluster(proxytest.ClusterOptions{Dir: t.TempDir(), Advertise: make([]string, 3)})
	t.Cleanup(cluster.Close)
	if err != nil {
		t.Fatal(err)
	}
	c := newClient(t, "", "", endpoint(t, cluster.Members[0].URL()))
	answer, err := c.Range(testContext(t), &pb.RangeRequest{Key: []byte("a")})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Probe(testContext(t), 0, []byte("a"), answer.Header.ClusterId); err != nil {
		t.Errorf("a probe with a leader: %v", err)
	}
	for _, m := range cluster.Members[1:] {
		m.Close()
	}
	for ctx := testContext(t); ; {
		err := c.Probe(ctx, 0, []byte("a"), answer.Header.ClusterId)
		if err != nil && ctx.Err() == nil {
			break
		}
		select {
		case <-ctx.Done():
			t.Fatal("the probe succeeds without a leader")
		case <-time.After(time.Millisecond):
		}
	}
}

func TestACallThatNeedsALeaderSaysSo(t *testing.T) {
	fields, _ := metadata.FromOutgoingContext(RequireLeader(t.Context()))
	if got := fields.Get("hasleader"); len(got) != 1 || got[0] != "true" {
		t.Errorf("got the field %q, want true", got)
	}
}

package presence

import (
	"context"
	"fmt"
	"log/slog"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"

	"etcd-tlsproxy/proxy/proxytest"
	"etcd-tlsproxy/proxy/v2v3/rpc"
)

func TestMain(m *testing.M) {
	proxytest.WaitTogether()
	proxytest.VerifyNoLeaks(m)
}

func testContext(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// place is an etcd and the host of a proxy before it.
type place struct {
	*testing.T
	Host
	etcd  *proxytest.Embedded
	close context.CancelFunc
	// seen are the revisions that the host was told.
	mu   sync.Mutex
	seen []int64
}

var names atomic.Int64

func logTo(t *testing.T) *slog.Logger {
	return slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelDebug}))
}

// begin starts an etcd that has the log of a tree.
func begin(t *testing.T) *place {
	t.Helper()
	etcd, err := proxytest.StartEmbedded(proxytest.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(etcd.Close)
	p := at(t, etcd.URL())
	p.etcd = etcd
	p.put(string(p.Keys.Log()), "{}", 0)
	return p
}

// at returns the host of a proxy before an etcd.
func at(t *testing.T, etcd string) *place {
	t.Helper()
	address, err := url.Parse(etcd)
	if err != nil {
		t.Fatal(err)
	}
	client, err := rpc.New([]rpc.Endpoint{{Addr: address.Host}}, "", "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	p := &place{T: t}
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	p.close = cancel
	p.Host = Host{Context: ctx, Client: client, Keys: "p", Log: logTo(t), Machine: "conf1001",
		Now: time.Now, Name: func() string { return fmt.Sprintf("proxy%d", names.Add(1)) },
		Seen: func(header *pb.ResponseHeader, revision int64, endpoint int) {
			if header.ClusterId == 0 || endpoint != 0 {
				t.Errorf("the host was told the header %v of the endpoint %d", header, endpoint)
			}
			p.mu.Lock()
			defer p.mu.Unlock()
			p.seen = append(p.seen, revision)
		}}
	return p
}

// saw reports whether the host was told a revision.
func (p *place) saw(revision int64) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, r := range p.seen {
		if r == revision {
			return true
		}
	}
	return false
}

// put puts a key with a lease, or with none, and returns the revision.
func (p *place) put(key, value string, lease int64) int64 {
	p.Helper()
	answer, err := p.Client.Put(testContext(p.T), &pb.PutRequest{Key: []byte(key), Value: []byte(value), Lease: lease})
	if err != nil {
		p.Fatal(err)
	}
	return answer.Header.Revision
}

// get returns a key, or nil if there is none.
func (p *place) get(key []byte) *mvccpb.KeyValue {
	p.Helper()
	answer, err := p.Client.Range(testContext(p.T), &pb.RangeRequest{Key: key})
	if err != nil {
		p.Fatal(err)
	}
	if len(answer.Kvs) == 0 {
		return nil
	}
	return answer.Kvs[0]
}

// leases returns the number of leases at etcd.
func (p *place) leases() int {
	p.Helper()
	answer, err := p.Client.Lease().LeaseLeases(testContext(p.T), &pb.LeaseLeasesRequest{})
	if err != nil {
		p.Fatal(err)
	}
	return len(answer.Leases)
}

// grant grants a lease of a time in seconds.
func (p *place) grant(ttl int64) int64 {
	p.Helper()
	answer, err := p.Client.Lease().LeaseGrant(testContext(p.T), &pb.LeaseGrantRequest{TTL: ttl})
	if err != nil {
		p.Fatal(err)
	}
	return answer.ID
}

// revokeLease revokes a lease, as etcd does when it expires.
func (p *place) revokeLease(id int64) {
	p.Helper()
	if _, err := p.Client.Lease().LeaseRevoke(testContext(p.T), &pb.LeaseRevokeRequest{ID: id}); err != nil {
		p.Fatal(err)
	}
}

// eventually waits until a condition holds.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for ctx := testContext(t); !holds(); {
		select {
		case <-ctx.Done():
			t.Fatalf("after 30 s it is still not so that %s", what)
		case <-time.After(time.Millisecond):
		}
	}
}

// keep keeps a session until the host is closed, and waits for its beginning.
func (p *place) keep() *Session {
	p.Helper()
	n := NewSession(p.Host)
	if name, revision, ok := n.Fence(); ok || name != "" || revision != 0 {
		p.Errorf("before it begins: got the session %q at %d, %v, want none", name, revision, ok)
	}
	var running sync.WaitGroup
	running.Go(n.Keep)
	p.Cleanup(func() { p.close(); running.Wait() })
	p.begun(n)
	return n
}

// begun waits until there is a session.
func (p *place) begun(n *Session) (name string, revision int64) {
	p.Helper()
	eventually(p.T, "there is a session", func() bool {
		var ok bool
		name, revision, ok = n.Fence()
		return ok
	})
	return name, revision
}

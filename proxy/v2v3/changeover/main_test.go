package changeover

import (
	"context"
	"log/slog"
	"net/url"
	"sync/atomic"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"etcd-tlsproxy/proxy/proxytest"
	"etcd-tlsproxy/proxy/v2v3/layout"
	"etcd-tlsproxy/proxy/v2v3/rpc"
)

func TestMain(m *testing.M) {
	proxytest.WaitTogether()
	proxytest.VerifyNoLeaks(m)
}

// fleet is an etcd, and what a command does there.
type fleet struct {
	*testing.T
	etcd   *proxytest.Embedded
	client *rpc.Client
	keys   layout.Keys
}

func newFleet(t *testing.T) *fleet {
	t.Helper()
	etcd, err := proxytest.StartEmbedded(proxytest.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(etcd.Close)
	f := &fleet{T: t, etcd: etcd, keys: "p"}
	if f.client, err = rpc.New(f.endpoints(), "", ""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(f.client.Close)
	return f
}

func (f *fleet) endpoints() []rpc.Endpoint {
	address, err := url.Parse(f.etcd.URL())
	if err != nil {
		f.Fatal(err)
	}
	return []rpc.Endpoint{{Addr: address.Host}}
}

func (f *fleet) context() context.Context {
	ctx, cancel := context.WithTimeout(f.Context(), 30*time.Second)
	f.Cleanup(cancel)
	return ctx
}

// member is a proxy of the fleet.
type member struct {
	*Proxy
	switched atomic.Int64
}

func (f *fleet) proxy(change func(*Options)) *member {
	f.Helper()
	m := &member{}
	o := Options{Endpoints: f.endpoints(), Prefix: string(f.keys), Timeout: 5 * time.Second, Host: "conf1001",
		Log: slog.New(slog.NewTextHandler(f.Output(), nil)), Switched: func() { m.switched.Add(1) }}
	if change != nil {
		change(&o)
	}
	var err error
	if m.Proxy, err = Open(o); err != nil {
		f.Fatal(err)
	}
	f.Cleanup(m.Close)
	return m
}

// put puts a key with a lease, or with none, and returns the revision.
func (f *fleet) put(key, value []byte, lease int64) int64 {
	f.Helper()
	answer, err := f.client.Put(f.context(), &pb.PutRequest{Key: key, Value: value, Lease: lease})
	if err != nil {
		f.Fatal(err)
	}
	return answer.Header.Revision
}

// lock takes the lock of a command, and returns what gives it back.
func (f *fleet) lock() (release func()) {
	f.Helper()
	lease, err := f.client.Lease().LeaseGrant(f.context(), &pb.LeaseGrantRequest{TTL: 60})
	if err != nil {
		f.Fatal(err)
	}
	f.put(f.keys.Lock(), []byte("{}"), lease.ID)
	return func() {
		if _, err := f.client.Lease().LeaseRevoke(f.context(), &pb.LeaseRevokeRequest{ID: lease.ID}); err != nil {
			f.Error(err)
		}
	}
}

// describe puts a description of the tree in a state, and returns the revision.
func (f *fleet) describe(state string) int64 {
	f.Helper()
	m := layout.Meta{Schema: 1, MinRead: 1, MinWrite: 1, State: state, Generation: "g", Moved: state == layout.Live}
	return f.put(f.keys.Meta(), m.Encode(), 0)
}

// endSession removes the key of a session, as if its lease had expired.
func (f *fleet) endSession(name string) { f.remove(f.keys.Session(name)) }

// remove removes a key.
func (f *fleet) remove(key []byte) {
	_, err := f.client.Txn(f.context(), &pb.TxnRequest{Success: []*pb.RequestOp{{Request: &pb.RequestOp_RequestDeleteRange{
		RequestDeleteRange: &pb.DeleteRangeRequest{Key: key}}}}})
	if err != nil {
		f.Error(err)
	}
}

// acknowledged returns how many sessions there are, and how many of them have acknowledged a revision.
func (f *fleet) acknowledged(revision int64) (all, have int) {
	f.Helper()
	start := f.keys.Session("")
	answer, err := f.client.Range(f.context(), &pb.RangeRequest{Key: start, RangeEnd: layout.End(start)})
	if err != nil {
		f.Fatal(err)
	}
	for _, kv := range answer.Kvs {
		p, err := layout.DecodePresence(kv.Value)
		if err != nil {
			f.Fatal(err)
		}
		if p.Frozen == revision {
			have++
		}
	}
	return len(answer.Kvs), have
}

// await waits until all sessions have acknowledged a revision.
func (f *fleet) await(revision int64) {
	f.Helper()
	for ctx := f.context(); ; {
		if all, have := f.acknowledged(revision); all > 0 && all == have {
			return
		}
		if !rpc.Pause(ctx) {
			f.Fatal("the proxies have not acknowledged that the tree is frozen")
		}
	}
}

// reach waits until a proxy is in a phase.
func (f *fleet) reach(m *member, want Phase) {
	f.Helper()
	for ctx := f.context(); ; {
		m.mu.Lock()
		phase, changed := m.phase, m.changed
		m.mu.Unlock()
		if phase == want {
			return
		}
		select {
		case <-changed:
		case <-ctx.Done():
			f.Fatalf("the proxy is in the phase %s, want %s", phase, want)
		}
	}
}

// admit begins a write that may be held for as long as any.
func (p *Proxy) admit(ctx context.Context) (*Write, error) {
	return p.Admit(ctx, time.Now().Add(p.MaxHold()))
}

// admitted returns a write that is under way.
func (f *fleet) admitted(m *member) *Write {
	f.Helper()
	w, err := m.admit(f.context())
	if err != nil {
		f.Fatalf("a write was not admitted: %v", err)
	}
	return w
}

// held begins a write that has to wait, and returns its outcome later.
func (f *fleet) held(m *member) <-chan error {
	done := make(chan error, 1)
	go func() {
		w, err := m.admit(f.context())
		if err == nil {
			w.Done()
		}
		done <- err
	}()
	return done
}

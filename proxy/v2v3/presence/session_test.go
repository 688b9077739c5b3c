package presence

import (
	"context"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"etcd-tlsproxy/proxy/v2v3/layout"
)

func TestASessionIsAKeyWithALease(t *testing.T) {
	t.Parallel()
	p := begin(t)
	before := time.Now().UnixNano()
	n := p.keep()
	name, revision, _ := n.Fence()
	kv := p.get(p.Keys.Session(name))
	if kv == nil || kv.ModRevision != revision || kv.Lease == 0 {
		t.Fatalf("got the key %v, want one at the revision %d with a lease", kv, revision)
	}
	value, err := layout.DecodePresence(kv.Value)
	if err != nil || value.Time < before || value.Time > time.Now().UnixNano() || value.Session != "" {
		t.Errorf("got the value %+v, %v, want the time of its beginning", value, err)
	}
	live, err := p.Client.Lease().LeaseTimeToLive(testContext(t), &pb.LeaseTimeToLiveRequest{ID: kv.Lease})
	if err != nil || live.GrantedTTL != 10 {
		t.Errorf("got the lease %v, %v, want one of 10 s", live, err)
	}
}

func TestASessionThatIsClosedLeavesNothing(t *testing.T) {
	t.Parallel()
	p := begin(t)
	ctx, cancel := context.WithCancel(t.Context())
	p.Context = ctx
	n := NewSession(p.Host)
	var running sync.WaitGroup
	running.Go(n.Keep)
	name, _ := p.begun(n)
	cancel()
	running.Wait()
	if kv := p.get(p.Keys.Session(name)); kv != nil || p.leases() != 0 {
		t.Errorf("got the key %v and %d leases, want none", kv, p.leases())
	}
	if _, _, ok := n.Fence(); ok {
		t.Error("there is a session, want none")
	}
}

// TestASessionFollowsAnother ends sessions in three ways.
func TestASessionFollowsAnother(t *testing.T) {
	t.Parallel()
	p := begin(t)
	n := p.keep()
	for what, end := range map[string]func(name string){
		"its key is gone": func(name string) { n.Saw(name, 0) },
		"its lease is revoked": func(name string) {
			p.revokeLease(p.get(p.Keys.Session(name)).Lease)
		},
	} {
		name, _ := p.begun(n)
		end(name)
		eventually(t, "another session has begun after "+what, func() bool {
			next, _, ok := n.Fence()
			return ok && next != name
		})
		if kv := p.get(p.Keys.Session(name)); kv != nil {
			t.Errorf("%s: got the key %v of the session that is over, want none", what, kv)
		}
		if got := p.leases(); got != 1 {
			t.Errorf("%s: there are %d leases, want that of the new session", what, got)
		}
	}
}

func TestOnlyNewsOfTheSessionItselfCount(t *testing.T) {
	n := NewSession(Host{})
	n.Saw("", 0) // there is none yet
	n.name, n.revision, n.ended = "own", 5, make(chan struct{})
	for _, test := range []struct {
		name           string
		revision, want int64
	}{{"other", 9, 5}, {"other", 0, 5}, {"own", 4, 5}, {"own", 7, 7}, {"own", 6, 7}} {
		n.Saw(test.name, test.revision)
		if name, got, ok := n.Fence(); name != "own" || got != test.want || !ok {
			t.Errorf("%s at %d: got %q at %d, %v, want the session at %d", test.name, test.revision, name, got, ok, test.want)
		}
	}
	n.Saw("own", 0)
	n.Saw("own", 0)
	select {
	case <-n.ended:
	default:
		t.Error("the end of the session was not told")
	}
	if _, _, ok := n.Fence(); ok {
		t.Error("there is a session, want none")
	}
}

func TestASessionThatIsAskedPutsItsKeyAgain(t *testing.T) {
	t.Parallel()
	p := begin(t)
	n := p.keep()
	name, first, _ := n.Fence()
	for range 3 {
		n.Ask() // never waits
	}
	eventually(t, "the session knows of its new revision", func() bool { _, revision, _ := n.Fence(); return revision > first })
	if next, _, _ := n.Fence(); next != name {
		t.Errorf("the session is %q, want still %q", next, name)
	}
	if kv := p.get(p.Keys.Session(name)); kv == nil || kv.ModRevision <= first || kv.Lease == 0 {
		t.Errorf("got the key %v, want a newer one with its lease", kv)
	}
}

func TestNobodyWaitsWhoAsks(t *testing.T) {
	n := NewSession(Host{})
	for range 3 {
		n.Ask()
	}
	if len(n.asked) != 1 {
		t.Errorf("%d questions wait, want one", len(n.asked))
	}
}

// TestASessionBeginsWhenEtcdIsBack cuts the connection first.
func TestASessionBeginsWhenEtcdIsBack(t *testing.T) {
	t.Parallel()
	p := begin(t)
	p.etcd.Cut()
	n := NewSession(p.Host)
	if err := n.begin(); err == nil || !strings.HasPrefix(err.Error(), "granting a lease: ") {
		t.Errorf("without etcd: got the error %v, want one about the lease", err)
	}
	var running sync.WaitGroup
	running.Go(n.Keep)
	t.Cleanup(func() { p.close(); running.Wait() })
	if _, _, ok := n.Fence(); ok {
		t.Error("there is a session without etcd")
	}
	p.etcd.Mend()
	p.begun(n)
}

// TestALeaseIsGivenBackIfTheKeyCannotBePut has a key that etcd does not accept.
func TestALeaseIsGivenBackIfTheKeyCannotBePut(t *testing.T) {
	t.Parallel()
	p := begin(t)
	n := NewSession(p.Host)
	n.Name = func() string { return strings.Repeat("x", 2<<20) } // more than etcd takes
	if err := n.begin(); err == nil || !strings.HasPrefix(err.Error(), "putting the session: ") {
		t.Errorf("got the error %v, want one about the session", err)
	}
	if got := p.leases(); got != 0 {
		t.Errorf("%d leases are left, want none", got)
	}
	if _, _, ok := n.Fence(); ok {
		t.Error("there is a session, want none")
	}
}

// attempts is a log that counts the ends of sessions.
type attempts struct{ times chan time.Time }

func (a attempts) Enabled(context.Context, slog.Level) bool { return true }

func (a attempts) Handle(_ context.Context, r slog.Record) error {
	if r.Message == "the session has ended" {
		select {
		case a.times <- time.Now():
		default:
		}
	}
	return nil
}

func (a attempts) WithAttrs([]slog.Attr) slog.Handler { return a }

func (a attempts) WithGroup(string) slog.Handler { return a }

func TestASessionThatFailsWaitsBeforeItTriesAgain(t *testing.T) {
	t.Parallel()
	p := begin(t)
	p.etcd.Cut()
	ended := attempts{make(chan time.Time, 4)}
	p.Log = slog.New(ended)
	var running sync.WaitGroup
	n := NewSession(p.Host)
	running.Go(n.Keep)
	first := <-ended.times
	for range 2 {
		<-ended.times
	}
	if passed := (<-ended.times).Sub(first); passed < 300*time.Millisecond {
		t.Errorf("three more attempts took %s, want at least 100 ms for each", passed)
	}
	p.close()
	running.Wait()
}

package changeover

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"etcd-tlsproxy/proxy/v2v3/layout"
	"etcd-tlsproxy/proxy/v2v3/presence"
	"etcd-tlsproxy/proxy/v2v3/rpc"
)

// Phase says who takes writes.
type Phase int

const (
	// Unknown: the store has not been read yet, or what it says cannot be understood. Writes wait.
	Unknown Phase = iota
	// V2: etcd's v2 API takes writes.
	V2
	// Frozen: nobody takes writes. They wait.
	Frozen
	// V3: the tree in the v3 store takes writes.
	V3
)

// String returns the phase for logs.
func (p Phase) String() string { return [...]string{"unknown", "v2", "frozen", "v3"}[p] }

// Options describe a proxy of the fleet.
type Options struct {
	// Endpoints are the members; the preferred one is first.
	Endpoints []rpc.Endpoint
	// Prefix precedes all keys of the tree in the store.
	Prefix string
	// User and Password are for etcd's own authentication; the user "" is none.
	User, Password string
	// Timeout bounds the read that confirms a write. It must be positive.
	Timeout time.Duration
	// Host and Version are the names of this machine and of the program, for operators.
	Host, Version string
	// Process names this process, which may have several sessions; "" if that is not known.
	Process string
	Log     *slog.Logger
	// ServeStale lets reads of the v2 API go on however long etcd's v3 API is away.
	ServeStale bool
	// Stale is called when watches of the v2 API must be broken off, because it has not been known for a while
	// whether that API still has the keys; nil does nothing.
	Stale func()
	// Switched is called when [Proxy.Tree] has changed, before writes that were held go on.
	Switched func()

	// known is the version of the layout that this program knows. Tests replace it.
	known int
	// maxHold replaces the time for which a write is held in tests.
	maxHold time.Duration
}

// maxHold is how long a write is held. Many clients give up before.
const maxHold = 10 * time.Second

// Proxy is the place of one proxy in a changeover. Its methods may be called by several
// goroutines at once.
type Proxy struct {
	o       Options
	keys    layout.Keys
	client  *rpc.Client
	session *presence.Session
	confirm confirm

	ctx     context.Context
	cancel  context.CancelFunc
	running sync.WaitGroup

	// freezing is the work for the description that froze the tree last, and line the connection at which it is
	// followed. Only the follower uses them.
	freezing freezing
	line     line

	// known is set while the store says who takes writes, as far as it was heard. tree is set if it is the tree, as
	// far as that is known. stale is set while neither has been heard for long.
	known, tree, stale atomic.Bool

	counts counts

	mu    sync.Mutex
	phase Phase
	since time.Time // when the phase began
	// reason says why the phase is unknown.
	reason string
	// described is the revision of the description that was applied last; 0 if there was none.
	described int64
	// describedTree is what Tree says since then.
	describedTree bool
	// lost makes what is known stale; nil while the description is followed.
	lost *loss
	// name is the session in which the phase was read; "" while it may be another one. alone is set if it was read
	// without a session, because the store is full.
	name  string
	alone bool
	// under is the number of writes under way at the v2 API.
	under int
	// changed is closed when the fields above change, except for a new write.
	changed chan struct{}
}

// Open returns a proxy, which connects in the background until it is closed.
func Open(o Options) (*Proxy, error) {
	if len(o.Endpoints) == 0 || o.Timeout <= 0 || o.Log == nil || o.Switched == nil {
		return nil, errors.New("following a changeover: it needs an endpoint, a timeout, a log and who is told")
	}
	o.known, o.maxHold = cmp.Or(o.known, layout.Schema), cmp.Or(o.maxHold, maxHold)
	client, err := rpc.New(o.Endpoints, o.User, o.Password)
	if err != nil {
		return nil, err
	}
	p := &Proxy{o: o, keys: layout.Keys(o.Prefix), client: client, reason: "etcd has not been asked yet", since: time.Now(), changed: make(chan struct{})}
	p.ctx, p.cancel = context.WithCancel(context.Background())
	p.session = presence.NewSession(presence.Host{Context: p.ctx, Client: client, Keys: p.keys, Log: o.Log, Now: time.Now, Name: name,
		Machine: o.Host, Version: o.Version, Process: o.Process, Auto: true, Seen: func(*pb.ResponseHeader, int64, int) {}})
	p.confirm.init(p)
	p.running.Go(p.session.Keep)
	p.running.Go(p.confirm.run)
	p.running.Go(p.follow)
	return p, nil
}

// name returns a name that is never used again.
func name() string {
	b := make([]byte, 8)
	_, _ = rand.Read(b) // it never fails
	return hex.EncodeToString(b)
}

// MaxHold is how long a write is held.
func (p *Proxy) MaxHold() time.Duration { return p.o.maxHold }

// Close ends the proxy. Writes are not admitted any more.
func (p *Proxy) Close() {
	p.cancel()
	p.running.Wait()
	p.client.Close()
}

// Phase returns who takes writes, as far as this proxy knows, and why that is unknown.
func (p *Proxy) Phase() (phase Phase, reason string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.phase, p.reason
}

// Frozen reports whether nobody takes writes at present.
func (p *Proxy) Frozen() bool {
	phase, _ := p.Phase()
	return phase == Frozen
}

// Known reports whether the store says who takes writes, and was heard not too long ago. Otherwise reads could be answered
// by an API that nobody writes any more.
func (p *Proxy) Known() bool { return p.known.Load() && !p.stale.Load() }

// Tree reports whether the tree takes writes, and not the v2 API. While the store says nothing that can be
// relied on, it is what the store has said before.
func (p *Proxy) Tree() bool { return p.tree.Load() }

// Ready waits until the store has said who takes writes.
func (p *Proxy) Ready(ctx context.Context) error {
	for {
		p.mu.Lock()
		reason, changed := p.reason, p.changed
		p.mu.Unlock()
		if p.known.Load() {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return errors.New(reason)
		}
	}
}

// update changes what is known, and wakes those who wait for that.
func (p *Proxy) update(change func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	change()
	close(p.changed)
	p.changed = make(chan struct{})
}

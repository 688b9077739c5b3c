package shadow

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"etcd-tlsproxy/proxy/account"
	"etcd-tlsproxy/proxy/upstream"
	"etcd-tlsproxy/proxy/v2v3"
	"etcd-tlsproxy/proxy/v2v3/layout"
)

// Options describe a shadow.
type Options struct {
	// Store leads to the tree. Its prefix is that of the rehearsal.
	Store v2v3.Options
	// Pool leads to the v2 API. It is closed with the shadow.
	Pool *upstream.Pool
	// Sample is the share of the answers that is compared, from 0 to 1.
	Sample float64
	// MaxBytes bounds the memory of answers and of events that wait; 0 is 64 MiB.
	MaxBytes int64
	// Counts are updated; nil for some that begin with this shadow.
	Counts *Counts
	Log    *slog.Logger
}

// Shadow follows the v2 API and compares its answers.
type Shadow struct {
	o     Options
	store *v2v3.Store
	// pool has the bytes of samples and of events, of one account: no client is charged.
	pool    *account.Pool
	account *account.Account
	inbox   chan *Sample
	reader  reader
	counts  *Counts
	sample  atomic.Uint64 // the share of answers, of 2^63

	// told is what commands were told last, and toldAt when. Only whoever compares uses them.
	told   layout.Shadow
	toldAt time.Time

	ctx     context.Context
	stop    context.CancelFunc
	running sync.WaitGroup

	// mu guards the fields below. It is acquired while the tree is locked, never the reverse.
	mu      sync.Mutex
	place   place
	waiting []*Sample // in the order of their indexes
	unread  string    // why the next event cannot be read; "" if it can
	failure string    // why the last event was not appended; "" if it was
	lost    string    // why this copy is of no use any more; "" if it is
}

const (
	// maxBytes is the memory of what waits, unless it is told.
	maxBytes = 64 << 20
	// maxInbox is how many samples wait to be looked at.
	maxInbox = 1024
)

// Open returns a shadow, which follows until it is closed.
func Open(o Options) (*Shadow, error) {
	if o.Pool == nil || o.Log == nil {
		return nil, errors.New("opening the shadow: it needs a pool and a log")
	}
	if o.MaxBytes <= 0 {
		o.MaxBytes = maxBytes
	}
	if o.Counts == nil {
		o.Counts = new(Counts)
	}
	table := account.NewTable()
	s := &Shadow{o: o, counts: o.Counts, inbox: make(chan *Sample, maxInbox), account: table.User("shadow", netip.Addr{}),
		pool: table.NewPool(account.Options{Name: "shadow", Total: o.MaxBytes, Queue: 1})}
	s.reader = reader{s: s, changed: make(chan struct{}, 1), asked: make(chan struct{}, 1)}
	s.SetSample(o.Sample)
	s.ctx, s.stop = context.WithCancel(context.Background())
	o.Store.Rehearsal = witness{s}
	store, err := v2v3.Open(o.Store)
	if err != nil {
		return nil, err
	}
	s.store = store
	s.running.Go(s.reader.run)
	s.running.Go(s.appendAll)
	s.running.Go(s.compareAll)
	return s, nil
}

// Close ends the shadow.
func (s *Shadow) Close() {
	s.stop()
	s.running.Wait()
	s.store.Close()
	s.o.Pool.Close()
}

// SetSample sets the share of the answers that is compared, from 0 to 1.
func (s *Shadow) SetSample(share float64) {
	s.sample.Store(uint64(max(0, min(share, 1)) * (1 << 63)))
}

// Chooses reports whether the next answer is compared.
func (s *Shadow) Chooses() bool { return rand.Uint64()>>1 < s.sample.Load() } //nolint:gosec // nothing depends on its being secret

// lose takes note that the copy cannot follow any more.
func (s *Shadow) lose(reason string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.lost == "" && s.place.generation != "" {
		s.lost = reason
		s.o.Log.Error("the shadow is lost: its copy can be followed no longer; make another one with \"etcd-tlsproxy migrate rehearse\"", "reason", reason, "index", s.place.index)
	}
}

// fail takes note of why an event was not read, or not appended, or that one was.
func (s *Shadow) fail(of *string, reason string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if reason != "" && *of == "" {
		s.o.Log.Warn("the shadow does not follow", "reason", reason)
	}
	*of = reason
}

// at returns the place of the tree, and whether it is one that can be followed.
func (s *Shadow) at() (index uint64, generation string, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.place.index, s.place.generation, s.place.generation != "" && s.lost == ""
}

// pause waits, and reports whether to go on.
func (s *Shadow) pause(d time.Duration) bool {
	select {
	case <-s.ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}

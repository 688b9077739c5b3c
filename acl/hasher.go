package acl

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
	"golang.org/x/sync/semaphore"
)

// HasherOptions limits the hashing of passwords. Zero values select the defaults.
type HasherOptions struct {
	// Workers is how many hashes are computed at a time. The default is one for every
	// two processors, so that logins cannot stop the proxy from serving reads.
	Workers int
	// Queue is how many logins may wait for a worker. The default is 64.
	Queue int
	// Remember is how many verified passwords are remembered. The default is 4,096; each
	// takes about 200 bytes.
	Remember int
}

// Hasher is shared by all generations of [Users]. It limits how much of the processor
// logins can use, remembers verified passwords, and holds the secret key of their digests,
// which exists only in this process.
type Hasher struct {
	workers    admission
	suspects   admission // suspects acquire this first, then a worker
	remembered *lru.Cache[digest, struct{}]
	digests    sync.Pool // of *digester
}

// ErrBusy means that too many logins are waiting. The password was not checked.
var ErrBusy = errors.New("too many logins are waiting")

// NewHasher returns a hasher. It starts no goroutine and need not be closed.
func NewHasher(o HasherOptions) *Hasher {
	if o.Workers <= 0 {
		o.Workers = max(1, runtime.GOMAXPROCS(0)/2)
	}
	if o.Queue <= 0 {
		o.Queue = 64
	}
	if o.Remember <= 0 {
		o.Remember = 4096
	}
	remembered, err := lru.New[digest, struct{}](o.Remember)
	if err != nil {
		panic(fmt.Sprintf("BUG: a cache of %d passwords: %v", o.Remember, err))
	}
	key := make([]byte, 32)
	_, _ = rand.Read(key) // documented never to fail
	return &Hasher{
		workers:    admission{sem: semaphore.NewWeighted(int64(o.Workers)), maxPending: int64(o.Workers + o.Queue)},
		suspects:   admission{sem: semaphore.NewWeighted(1), maxPending: 1 + maxSuspects},
		remembered: remembered,
		digests:    sync.Pool{New: func() any { return &digester{mac: hmac.New(sha256.New, key)} }},
	}
}

// Client is who logs in. The zero Client is never suspect.
type Client struct {
	// Suspect decides whether the client has to wait with other suspects; see
	// [Throttle.Suspect].
	Suspect func() bool
	// Turn waits until it is the client's turn to use one of the workers, or the one place
	// for suspects, and returns a function that ends the turn. With it, the caller bounds the
	// hashes and the queue, and [HasherOptions] does not. Without it, clients wait in the order
	// of arrival.
	Turn func(ctx context.Context, ofSuspects bool) (release func(), err error)
}

func (c *Client) suspect() bool { return c.Suspect != nil && c.Suspect() }

// acquire waits for a worker. The caller must call release; failed is the duration of
// the hash if the login failed, otherwise 0. acquire asks again after a wait whether the
// client is suspect: the logins it waited for may have been the same client's, and may have
// failed.
func (h *Hasher) acquire(ctx context.Context, c Client) (release func(failed time.Duration), err error) {
	if !c.suspect() {
		worker, err := h.enter(ctx, c, false)
		if err != nil {
			return nil, err
		}
		if !c.suspect() {
			return func(failed time.Duration) { worker(failedCooldown * failed) }, nil
		}
		worker(0)
	}
	suspect, err := h.enter(ctx, c, true)
	if err != nil {
		return nil, err
	}
	worker, err := h.enter(ctx, c, false)
	if err != nil {
		suspect(0)
		return nil, err
	}
	return func(failed time.Duration) {
		worker(0)
		suspect(suspectCooldown * failed)
	}, nil
}

// enter waits for a worker or for the place for suspects. leave gives it back after a
// cooldown, and does not wait.
func (h *Hasher) enter(ctx context.Context, c Client, ofSuspects bool) (leave func(cooldown time.Duration), err error) {
	places := &h.workers
	if ofSuspects {
		places = &h.suspects
	}
	if c.Turn == nil {
		return places.release, places.acquire(ctx)
	}
	release, err := c.Turn(ctx, ofSuspects)
	if err != nil {
		return nil, err
	}
	return func(cooldown time.Duration) {
		if cooldown <= 0 {
			release()
			return
		}
		time.AfterFunc(cooldown, release)
	}, nil
}

// After a failed login its worker rests for failedCooldown times the duration of the
// hash. If the client is a suspect, the one place for suspects rests instead, for
// suspectCooldown times that duration. Guessing thus gets at most a quarter of a
// worker's time, and from suspect addresses at most a twentieth. Logins with the right
// password get all of it.
const (
	failedCooldown  = 3
	suspectCooldown = 19
)

// maxSuspects is how many suspects may wait. Further ones get [ErrBusy].
const maxSuspects = 8

// admission is a semaphore with a limited queue.
type admission struct {
	sem        *semaphore.Weighted
	pending    atomic.Int64 // the number of logins that hold the semaphore or wait for it
	maxPending int64
}

// acquire waits for the semaphore. It returns [ErrBusy] at once if the queue is full.
func (a *admission) acquire(ctx context.Context) error {
	if a.pending.Add(1) > a.maxPending {
		a.pending.Add(-1)
		return ErrBusy
	}
	if err := a.sem.Acquire(ctx, 1); err != nil {
		a.pending.Add(-1)
		return err
	}
	return nil
}

// release gives the semaphore back after the cooldown. It does not wait.
func (a *admission) release(cooldown time.Duration) {
	a.pending.Add(-1)
	if cooldown <= 0 {
		a.sem.Release(1)
		return
	}
	time.AfterFunc(cooldown, func() { a.sem.Release(1) })
}

// digest is a keyed digest of a list of strings.
type digest [sha256.Size]byte

type digester struct {
	mac   hash.Hash
	input []byte
	sum   [sha256.Size]byte // a field, because a local variable would escape to the heap
}

// digest returns the keyed digest of the parts. Each part is preceded by its length, so
// that no two lists of parts have the same input.
func (h *Hasher) digest(parts ...string) digest {
	d := h.digests.Get().(*digester)
	d.input = d.input[:0]
	for _, part := range parts {
		d.input = binary.LittleEndian.AppendUint64(d.input, uint64(len(part)))
		d.input = append(d.input, part...)
	}
	d.mac.Reset()
	d.mac.Write(d.input)
	d.mac.Sum(d.sum[:0])
	sum := digest(d.sum)
	clear(d.input) // it contains a password
	h.digests.Put(d)
	return sum
}

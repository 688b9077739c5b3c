package acl

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"hash"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/semaphore"
)

// HasherOptions bounds the hashing of passwords. Zero values are the defaults.
type HasherOptions struct {
	// Workers is how many hashes are computed at a time; by default one for every
	// two processors, so that logins cannot stop the serving of reads.
	Workers int
	// Queue is how many logins may wait for a worker; 64 by default.
	Queue int
	// Remember is how many verified passwords each set of users remembers; 4,096
	// by default, about 200 bytes each.
	Remember int
}

// Hasher is what all generations of [Users] share: a bounded part of the
// processor, and the secret that digests of passwords are keyed with, which
// exists only in this process.
type Hasher struct {
	workers  turns
	suspects turns // who has to wait for one of these first
	remember int
	digests  sync.Pool // of *digester
}

// ErrBusy means that too many logins wait already. Nothing was found out about
// the password.
var ErrBusy = errors.New("too many logins are waiting")

// NewHasher makes a hasher. It starts nothing and needs no closing.
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
	key := make([]byte, 32)
	_, _ = rand.Read(key) // documented never to fail
	return &Hasher{
		workers:  turns{places: semaphore.NewWeighted(int64(o.Workers)), most: int64(o.Workers + o.Queue)},
		suspects: turns{places: semaphore.NewWeighted(1), most: 1 + mostSuspects},
		remember: o.Remember,
		digests:  sync.Pool{New: func() any { return &digester{mac: hmac.New(sha256.New, key)} }},
	}
}

// acquire waits for a worker. What is returned gives it back, and is told how long a hash
// took that failed. Whether the client is suspect is asked again at the end of a wait:
// those it waited for may have been its own.
func (h *Hasher) acquire(ctx context.Context, suspect func() bool) (release func(failed time.Duration), err error) {
	if !suspect() {
		if err := h.workers.enter(ctx); err != nil {
			return nil, err
		}
		if !suspect() {
			return func(failed time.Duration) { h.workers.leave(failedRest * failed) }, nil
		}
		h.workers.leave(0)
	}
	if err := h.suspects.enter(ctx); err != nil {
		return nil, err
	}
	if err := h.workers.enter(ctx); err != nil {
		h.suspects.leave(0)
		return nil, err
	}
	return func(failed time.Duration) {
		h.workers.leave(0)
		h.suspects.leave(suspectRest * failed)
	}, nil
}

// For how many times its own duration a hash that failed keeps idle what it was computed
// by. Guessing gets a quarter of a worker's time, and from an address where several failed
// a twentieth, beside that of all others; right passwords get all of it.
const (
	failedRest  = 3
	suspectRest = 19
)

// mostSuspects may wait; those that come then are told to come again.
const mostSuspects = 8

// turns lets some in at a time, and so many more wait.
type turns struct {
	places  *semaphore.Weighted
	pending atomic.Int64
	most    int64
}

func (t *turns) enter(ctx context.Context) error {
	if t.pending.Add(1) > t.most {
		t.pending.Add(-1)
		return ErrBusy
	}
	if err := t.places.Acquire(ctx, 1); err != nil {
		t.pending.Add(-1)
		return err
	}
	return nil
}

// leave gives the place back after a rest.
func (t *turns) leave(rest time.Duration) {
	t.pending.Add(-1)
	if rest <= 0 {
		t.places.Release(1)
		return
	}
	time.AfterFunc(rest, func() { t.places.Release(1) })
}

// digest is a keyed digest of the parts, each with its length, so that no two
// lists of parts have the same input.
type digest [sha256.Size]byte

type digester struct {
	mac   hash.Hash
	input []byte
	sum   [sha256.Size]byte // here rather than on the stack, where it would escape
}

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
	clear(d.input) // it holds a password
	h.digests.Put(d)
	return sum
}

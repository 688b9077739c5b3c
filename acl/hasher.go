package acl

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"hash"
	"sync"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
)

// HasherOptions describes a [Hasher]. Zero values select the defaults.
type HasherOptions struct {
	// Remember is how many verified passwords are remembered. The default is 4,096; each
	// takes about 200 bytes.
	Remember int
}

// Hasher is shared by all generations of [Users]. It remembers verified passwords, and holds the
// secret key of their digests, which exists only in this process.
type Hasher struct {
	remembered *lru.Cache[digest, struct{}]
	digests    sync.Pool // of *digester
}

// NewHasher returns a hasher. It starts no goroutine and need not be closed.
func NewHasher(o HasherOptions) *Hasher {
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
		remembered: remembered,
		digests:    sync.Pool{New: func() any { return &digester{mac: hmac.New(sha256.New, key)} }},
	}
}

// Client is who logs in. The zero Client is never suspect, and never waits.
type Client struct {
	// Suspect decides whether the client has to wait with other suspects; see
	// [Throttle.Suspect].
	Suspect func() bool
	// Turn waits until it is the client's turn to use one of the workers, or the one place
	// for suspects, and returns a function that ends the turn. It bounds the hashes and those
	// that wait for one.
	Turn func(ctx context.Context, ofSuspects bool) (release func(), err error)
}

func (c *Client) suspect() bool { return c.Suspect != nil && c.Suspect() }

// acquire waits for a worker. The caller must call release; failed is the duration of
// the hash if the login failed, otherwise 0. acquire asks again after a wait whether the
// client is suspect: the logins it waited for may have been the same client's, and may have
// failed.
func (c *Client) acquire(ctx context.Context) (release func(failed time.Duration), err error) {
	if !c.suspect() {
		worker, err := c.enter(ctx, false)
		if err != nil {
			return nil, err
		}
		if !c.suspect() {
			return func(failed time.Duration) { worker(failedCooldown * failed) }, nil
		}
		worker(0)
	}
	suspect, err := c.enter(ctx, true)
	if err != nil {
		return nil, err
	}
	worker, err := c.enter(ctx, false)
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
func (c *Client) enter(ctx context.Context, ofSuspects bool) (leave func(cooldown time.Duration), err error) {
	if c.Turn == nil {
		return func(time.Duration) {}, nil
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

// longestHash bounds the duration that counts, because the cost of hashes is bounded. If it was longer,
// the process was stopped meanwhile, or its machine was. After that, nobody could log in for many times as long.
const longestHash = time.Second

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

package v2v3

import (
	"cmp"
	"fmt"
	"log/slog"
	"time"

	"etcd-tlsproxy/proxy/v2v3/rpc"
)

// Endpoint is a member of the cluster.
type Endpoint = rpc.Endpoint

// Options describe a store.
type Options struct {
	// Endpoints are the members; the preferred one is first.
	Endpoints []Endpoint
	// Prefix precedes all keys of the tree in the store.
	Prefix string
	// User and Password are for etcd's own authentication; the user "" is none.
	User, Password string
	// Timeout bounds one write, and the wait for its outcome. It must be positive.
	Timeout time.Duration
	// Linearizable makes all reads as fresh as quorum reads.
	Linearizable bool
	// ServeStale answers reads that need no quorum for as long as etcd is away.
	ServeStale bool
	// Compact lets the store compact etcd's history when it is its turn.
	Compact bool
	// QuotaBytes is the size at which etcd refuses writes.
	QuotaBytes int64
	// MaxBytes is the size of the tree, in memory, from which on writes that would make it larger
	// are refused, and a warning is logged; 0 means no limit. It is half of limits.memory. A tree of
	// twice that size is not loaded.
	MaxBytes int64
	// Host is the name of this machine. Other proxies show it while this one is the keeper.
	Host string
	// Version is that of this program, for operators.
	Version string
	// Process names this process, which may have several stores one after the other; "" if that is not known.
	Process string
	Log     *slog.Logger
	// Now is the system's clock, by which nodes expire; nil for that of this machine.
	Now func() time.Time

	// Rehearsal sees the tree, which is that of a rehearsal then, and is for nobody else; nil for a tree that
	// serves clients.
	Rehearsal Witness

	// known is the version of the layout that this program knows. Tests replace it.
	known int
	// unserved allows a tree to be loaded that is not for clients.
	unserved bool
	// preferEvery replaces the time between two probes of the preferred endpoint in tests.
	preferEvery time.Duration
	// maxRemoved replaces the number of nodes that one change may remove in tests.
	maxRemoved int
}

// removable returns how many nodes one change may remove.
func (o *Options) removable() int { return cmp.Or(o.maxRemoved, maxRemoved) }

// Kind says what became of an operation that was not answered.
type Kind int

const (
	// NotServed: the store cannot answer now.
	NotServed Kind = iota + 1
	// NotExecuted: the write was not executed and never will be.
	NotExecuted
	// UnknownOutcome: the write may have been executed, or may be executed yet.
	UnknownOutcome
	// Busy: the write was not executed, because others that change the same took too long.
	Busy
	// NoRoom: the write was not executed, because the store is too full for it.
	NoRoom
	// Executed: the write was executed, but its answer is lost.
	Executed
	// NotLive: nothing was executed, because the tree does not have the keys, or is being moved.
	NotLive
)

// Error says why an operation was not answered.
type Error struct {
	Kind Kind
	// Index is that of the event, if the write was executed.
	Index uint64
	// Room is whose writes there is room for, if this one is not among them.
	Room   Room
	Reason string
}

// Error implements error.
func (e *Error) Error() string {
	switch e.Kind {
	case NotServed:
		return "the store cannot answer: " + e.Reason
	case NotExecuted:
		return "the write was not executed: " + e.Reason
	case NoRoom:
		return "there is no room for the write: " + e.Reason
	case Busy:
		return "the write had no turn: " + e.Reason
	case NotLive:
		return "the tree does not have the keys: " + e.Reason
	case UnknownOutcome:
		return "the outcome of the write is unknown: " + e.Reason
	}
	return fmt.Sprintf("the write was executed at index %d, but its answer is lost: %s", e.Index, e.Reason)
}

// Package hashing compares passwords with their hashes in processes of their own, which
// have a low priority: a hash of bcrypt takes a processor for 50 ms, and on a small
// machine that is half of what reads are served with. Whoever serves comes first.
//
// A worker is this same program, started when it is first needed. It gets hashes and
// passwords through a pipe, never as arguments, and ends when the pipe does: with the
// service, however that ends.
package hashing

import (
	"context"
	"fmt"
	"log/slog"
	"sync"

	"etcd-tlsproxy/acl"
)

// Workers are the processes. How many there are is how many comparisons are asked for
// at a time, which package acl bounds.
type Workers struct {
	log *slog.Logger

	mu     sync.Mutex
	idle   []*worker
	closed bool
	warned bool
}

// New makes workers; it starts none. They must be closed.
func New(log *slog.Logger) *Workers { return &Workers{log: log} }

// Compare is [acl.Compare] in a worker. A worker that died is followed by another one,
// and where none can be started, this process does it: logins go before speed.
func (ws *Workers) Compare(ctx context.Context, hash, password string) (bool, error) {
	var lost error
	for range 2 {
		w, err := ws.take()
		if err != nil {
			ws.warnOnce("passwords are hashed in the service itself, which slows others down: no process for them can be started", err)
			return acl.Compare(ctx, hash, password)
		}
		matches, err := w.compare(hash, password)
		if err == nil {
			ws.put(w)
			return matches, nil
		}
		lost = err
		w.stop()
	}
	return false, fmt.Errorf("hashing a password: %w", lost)
}

func (ws *Workers) take() (*worker, error) {
	ws.mu.Lock()
	if n := len(ws.idle); n > 0 {
		// The last one to be used: the others have not been needed for longer.
		w := ws.idle[n-1]
		ws.idle = ws.idle[:n-1]
		ws.mu.Unlock()
		return w, nil
	}
	ws.mu.Unlock()
	w, unranked, err := start()
	if unranked != nil {
		ws.warnOnce("passwords are hashed with the priority of all else", unranked)
	}
	return w, err
}

func (ws *Workers) put(w *worker) {
	ws.mu.Lock()
	closed := ws.closed
	if !closed {
		ws.idle = append(ws.idle, w)
	}
	ws.mu.Unlock()
	if closed {
		w.stop()
	}
}

// Close ends the workers; one that is at work ends after it.
func (ws *Workers) Close() {
	ws.mu.Lock()
	ws.closed = true
	idle := ws.idle
	ws.idle = nil
	ws.mu.Unlock()
	for _, w := range idle {
		w.stop()
	}
}

func (ws *Workers) warnOnce(what string, err error) {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	if !ws.warned {
		ws.warned = true
		ws.log.Warn(what, "error", err)
	}
}

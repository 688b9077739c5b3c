package proxy

import (
	"context"
	"errors"
	"sync"
)

// watches knows the running watches, because they outlive what allowed them: a
// reload can take the reader's right away, and a shutdown cannot wait for them.
type watches struct {
	limit   int
	metrics *Metrics

	mu      sync.Mutex
	running map[*watch]struct{}
	drained bool
}

// watch is one running watch.
type watch struct {
	op   Operation
	peer *Peer
	end  context.CancelCauseFunc
}

// Why a watch was ended from here.
var (
	errRevoked  = errors.New("the reader lost the right to the key")
	errDraining = errors.New("the proxy is shutting down")
)

func newWatches(limit int, m *Metrics) *watches {
	return &watches{limit: limit, metrics: m, running: make(map[*watch]struct{})}
}

// enter takes note of a watch that is about to start. Its context ends with the
// client's, with the right to read, and with the proxy.
func (ws *watches) enter(ctx context.Context, op *Operation, peer *Peer) (context.Context, *watch, *Refusal) {
	ctx, end := context.WithCancelCause(ctx)
	w := &watch{op: *op, peer: peer, end: end}
	ws.mu.Lock()
	defer ws.mu.Unlock()
	switch {
	case ws.drained:
		end(errDraining)
		return nil, nil, refuseDraining
	case len(ws.running) >= ws.limit:
		end(nil)
		return nil, nil, refuseWatches
	}
	ws.running[w] = struct{}{}
	ws.metrics.watches.Inc()
	return ctx, w, nil
}

// leave takes note of a watch's end and its reason, from the closed set of the
// metric.
func (ws *watches) leave(w *watch, reason string) {
	w.end(nil)
	ws.mu.Lock()
	delete(ws.running, w)
	ws.mu.Unlock()
	ws.metrics.watches.Dec()
	ws.metrics.watchEnds.WithLabelValues(reason).Inc()
}

// recheck ends the watches that a new snapshot does not allow any more.
func (ws *watches) recheck(g *Gate, s *Snapshot) {
	for _, w := range ws.list() {
		if !g.Still(s, &w.op, w.peer) {
			w.end(errRevoked)
		}
	}
}

// drain ends all watches and lets no new one start.
func (ws *watches) drain() {
	ws.mu.Lock()
	ws.drained = true
	ws.mu.Unlock()
	for _, w := range ws.list() {
		w.end(errDraining)
	}
}

func (ws *watches) list() []*watch {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	list := make([]*watch, 0, len(ws.running))
	for w := range ws.running {
		list = append(list, w)
	}
	return list
}

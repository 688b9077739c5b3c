package lane

import (
	"context"
	"time"
)

// Presence is a context that ends when the client of a connection has closed it, for waits
// before anything reads from the connection. It costs nothing until somebody waits for it.
// It must be used by one goroutine at a time, so a context with a time limit must be above it
// and not below: its timer would use the presence, even after Stop.
type Presence struct {
	context.Context // the parent
	wire            *ClientConn
	watched         context.Context // ends with the client; nil until somebody waits
	stop            context.CancelCauseFunc
}

// presencePoll is how late the end of a client may be noticed. The kernel tells only those
// that read.
const presencePoll = 50 * time.Millisecond

// NewPresence returns a presence below a parent.
func NewPresence(parent context.Context, wire *ClientConn) Presence {
	return Presence{Context: parent, wire: wire}
}

// Done implements [context.Context].
func (p *Presence) Done() <-chan struct{} {
	if p.watched == nil {
		p.watched, p.stop = context.WithCancelCause(p.Context)
		go p.wire.WatchPeer(p.watched, presencePoll, p.stop)
	}
	return p.watched.Done()
}

// Err implements [context.Context]. It notices at once that the client is gone.
func (p *Presence) Err() error {
	if p.watched != nil && p.watched.Err() != nil {
		return p.watched.Err()
	}
	if err := p.Context.Err(); err != nil {
		return err
	}
	if p.wire.PeerClosed() {
		return context.Canceled
	}
	return nil
}

// Value implements [context.Context].
func (p *Presence) Value(key any) any {
	if p.watched != nil {
		return p.watched.Value(key)
	}
	return p.Context.Value(key)
}

// Stop ends what Done has started. The presence can be used again.
func (p *Presence) Stop() {
	if p.watched != nil {
		p.stop(nil)
		p.watched, p.stop = nil, nil
	}
}

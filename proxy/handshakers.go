package proxy

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"etcd-tlsproxy/proxy/lane"
)

// pending is a connection whose handshake is due.
type pending struct {
	conn  *lane.ClientConn
	place *place
}

// handshakers are the goroutines that do handshakes. A handshake needs a large stack, and
// growing one takes time, so a goroutine whose stack has grown waits a while for its next
// connection.
type handshakers struct {
	ctx     context.Context // ends when no handshake may continue
	next    chan pending    // for an idle worker
	idle    atomic.Int64
	running sync.WaitGroup // handshakes
}

const (
	maxIdleWorkers = 32
	workerIdle     = time.Second
)

func newHandshakers(ctx context.Context) *handshakers {
	return &handshakers{ctx: ctx, next: make(chan pending)}
}

// dispatch hands the connection to an idle worker, or starts one, which does its
// handshake. handshake is the same function in every call.
func (hs *handshakers) dispatch(p pending, handshake func(pending)) {
	hs.running.Add(1)
	select {
	case hs.next <- p:
	default:
		go func() {
			for again := true; again; p, again = hs.wait() {
				handshake(p)
				hs.running.Done()
				p = pending{} // an idle worker must not keep a connection in memory
			}
		}()
	}
}

// wait waits for the next connection. ok is false if enough other workers are idle, or if
// no connection arrives for a while.
func (hs *handshakers) wait() (p pending, ok bool) {
	defer hs.idle.Add(-1)
	if hs.idle.Add(1) > maxIdleWorkers {
		return pending{}, false
	}
	expired := time.NewTimer(workerIdle)
	defer expired.Stop()
	select {
	case p := <-hs.next:
		return p, true
	case <-expired.C:
	case <-hs.ctx.Done():
	}
	return pending{}, false
}

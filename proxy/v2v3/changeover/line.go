package changeover

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"etcd-tlsproxy/proxy/v2v3/rpc"
)

const (
	// heartbeat is how often a member is asked whether it is alive, and maxSilence how long it may be silent.
	heartbeat  = time.Second
	maxSilence = 3 * time.Second
	// longSilence is the limit for a member that was silent from the beginning: it is slow, and writes are held
	// whenever it is left.
	longSilence = maxStale
)

// errSilent means that nothing came from a member.
var errSilent = errors.New("the member has been silent")

// line watches over the connection at which the description is followed.
type line struct {
	silence time.Duration // how long the member may be silent
	heard   atomic.Int64  // when the last response came
	// answers is the number of responses. The first one is that to the watch itself.
	answers atomic.Int64
}

// begin takes note of a new connection.
func (l *line) begin() {
	l.silence = max(l.silence, maxSilence)
	l.heard.Store(time.Now().UnixNano())
	l.answers.Store(0)
}

// hear takes note of a response.
func (l *line) hear() {
	l.heard.Store(time.Now().UnixNano())
	l.answers.Add(1)
}

// ended takes note of why a connection ended. A member that has answered nothing has more time at the next one.
func (l *line) ended(err error) {
	if errors.Is(err, errSilent) && l.answers.Load() <= 1 {
		l.silence = min(2*l.silence, longSilence)
		return
	}
	l.silence = 0
}

// guard returns why a member must not be followed any more: it is silent, or the session is another one.
func (l *line) guard(ctx context.Context, w *rpc.Watch, changed <-chan struct{}) error {
	ticker := time.NewTicker(heartbeat)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-changed:
			return errAgain
		case <-ticker.C:
		}
		if silence := time.Since(time.Unix(0, l.heard.Load())); silence > l.silence {
			return fmt.Errorf("%w for %s", errSilent, silence.Round(100*time.Millisecond))
		}
		if err := w.AskProgress(); err != nil {
			return err
		}
	}
}

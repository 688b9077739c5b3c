package v2v3

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"

	"etcd-tlsproxy/proxy/v2v3/mirror"
	"etcd-tlsproxy/proxy/v2v3/rpc"
)

const (
	// heartbeat is how often a member is asked whether it is alive.
	heartbeat = time.Second
	// maxSilence is how long a member may be silent. It answers each heartbeat.
	maxSilence = 3 * time.Second
	// longSilence is the same for a member that makes fragments, and the limit for one whose response
	// takes long to arrive.
	longSilence = 30 * time.Second
	// tick is how often a connection is checked.
	tick = 250 * time.Millisecond
)

// connection follows the events at one endpoint.
type connection struct {
	s *Store
	m *mirror.Mirror
	// followed means that the mirror was complete, and in use, for a while.
	followed bool
	// loaded means that the mirror is new, and used as soon as it has reached the target.
	loaded bool
	target int64
	// maxSilence is how long the member may be silent. progressed means that it has answered.
	maxSilence time.Duration
	progressed bool

	watch *rpc.Watch
	heard atomic.Int64 // when the last response came
	idle  atomic.Int64 // the number of responses without events
}

// run connects, and follows until that fails.
func (c *connection) run(ctx context.Context) error {
	s := c.s
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	s.setEnd(cancel)
	st, err := s.readState(ctx)
	if err != nil {
		return err
	}
	m, after, err := s.adopt(ctx, st)
	if err != nil {
		return err
	}
	s.seen.bound(st.revision)
	c.m, c.loaded, c.target = m, m != s.current(), st.log.ModRevision
	c.maxSilence = max(maxSilence, s.patience)
	if s.fragments {
		c.maxSilence = longSilence
	}
	start, end := s.keys.Range()
	if c.watch, err = s.client.Watch(ctx, start, end, after+1, st.revision, s.fragments); err != nil {
		return err
	}
	c.hear()
	var guards sync.WaitGroup
	defer guards.Wait()
	defer c.watch.Close()
	defer cancel(nil)
	guards.Go(func() { c.guard(ctx, cancel) })
	if at, _ := s.client.Endpoint(); at != 0 {
		guards.Go(func() { c.prefer(ctx, cancel) })
	}
	if !c.loaded {
		s.resume(after, st)
		c.followed = true
	}
	err = c.receive()
	s.fragments = rpc.TooLarge(err)
	if cause := context.Cause(ctx); cause != nil {
		err = cause
	}
	s.patience = 0
	if errors.Is(err, errSilent) && !c.progressed {
		s.patience = min(2*c.maxSilence, longSilence)
	}
	return c.failed(err)
}

// errSilent means that nothing came from a member. It may be dead, or one response takes longer than
// the time that it has: the next attempt has more.
var errSilent = errors.New("the member has been silent")

// failed gives the mirror up if the error says that it is wrong. If what follows was compacted,
// the next connection finds out whether events were missed.
func (c *connection) failed(err error) error {
	switch rebuild := errors.Is(err, errRebuild); {
	case c.loaded && (rebuild || rpc.Compacted(err) || errors.Is(err, errOversize)):
		c.s.pastFailed()
	case rebuild:
		c.s.abandon(err.Error())
	}
	return err
}

// hear notes that a response came.
func (c *connection) hear() {
	now := time.Now().UnixNano()
	c.heard.Store(now)
	c.s.heard.Store(now)
}

// guard sends heartbeats, and ends the connection if the member is silent or behind.
func (c *connection) guard(ctx context.Context, end context.CancelCauseFunc) {
	ticker := time.NewTicker(tick)
	defer ticker.Stop()
	var behind lag
	for beat := 0; ; beat++ {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		if (beat%int(heartbeat/tick) == 0 || behind.since != 0) && c.watch.AskProgress() != nil {
			return // the receiver gets the error
		}
		if silence := time.Since(time.Unix(0, c.heard.Load())); silence > c.maxSilence {
			end(fmt.Errorf("%w for %s", errSilent, silence.Round(100*time.Millisecond)))
			return
		}
		newest, _ := c.s.seen.newest()
		if behind.tooLong(c.s.applied.Load() >= newest, c.idle.Load()) {
			end(errBehind)
			return
		}
	}
}

// receive applies events until the stream ends.
func (c *connection) receive() error {
	if err := c.caughtUp(); err != nil {
		return err
	}
	for {
		header, events, err := c.watch.Next()
		if err != nil {
			return err
		}
		c.hear()
		if len(events) == 0 && !c.watch.Partial() {
			c.idle.Add(1)
		}
		c.progressed = c.progressed || len(events) > 0 || c.idle.Load() > 1 // the first response is that to the watch itself
		c.s.header(header)
		if header.ClusterId != c.m.Cluster {
			return fmt.Errorf("%w: the store belongs to another cluster", errRebuild)
		}
		for len(events) > 0 {
			number := events[0].Kv.ModRevision
			n := slices.IndexFunc(events, func(e *mvccpb.Event) bool { return e.Kv.ModRevision != number })
			if n < 0 {
				n = len(events)
			}
			if err := c.apply(number, events[:n]); err != nil {
				return err
			}
			events = events[n:]
		}
	}
}

// apply applies one revision.
func (c *connection) apply(number int64, events []*mvccpb.Event) error {
	r, err := c.s.keys.Read(number, events)
	if err == nil {
		err = c.s.apply(c.m, r, !c.loaded)
	}
	if err != nil {
		// What follows can be applied to the tree of this revision.
		c.s.pastFrom = number
		return fmt.Errorf("%w: at the revision %d: %w", errRebuild, number, err)
	}
	return c.caughtUp()
}

// caughtUp puts a new mirror into use once it is complete. Its events may have made it too large.
func (c *connection) caughtUp() error {
	if !c.loaded {
		return nil
	}
	size := c.m.Tree.Bytes()
	if err := c.s.fits(size); err != nil || c.m.LogRevision < c.target {
		return err
	}
	c.s.tellSize(size)
	c.s.replace(c.m)
	c.loaded, c.followed = false, true
	return nil
}

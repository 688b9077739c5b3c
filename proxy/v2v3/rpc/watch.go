package rpc

import (
	"context"
	"errors"
	"fmt"
	"slices"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc/metadata"
)

// ErrCompacted means that a watch begins at a revision that is no longer in the store.
var ErrCompacted = errors.New("the revision has been compacted")

// Watch is one watch on one stream.
type Watch struct {
	stream pb.Watch_WatchClient
	cancel context.CancelFunc
	// events are those of a revision that may go on in the next fragment of a response.
	events  []*mvccpb.Event
	partial bool
	id      int64
	// from is the first revision whose events are returned.
	from int64
}

// RequireLeader returns a context for calls that etcd ends if its member has no leader.
func RequireLeader(ctx context.Context) context.Context {
	return metadata.AppendToOutgoingContext(ctx, rpctypes.MetadataRequireLeaderKey, rpctypes.MetadataHasLeader)
}

// Watch starts to watch a range from a revision on; 0 is the next one. It ends with the context, or with Close.
//
// Reached is a revision that the store is known to have; 0 if none is known. Etcd answers no heartbeat before the
// revision exists that it was asked for, which is never in a store that nobody writes to. So it is asked for that one
// at most, and what is older than wanted is dropped. It looks for what such a watch has missed every tenth of a second,
// so that the first events may be that late.
//
// Etcd sends responses of more than 2 MiB in fragments if it is asked for them. The time that it
// needs for a fragment grows with the square of the number of its events, so that the removal of
// many nodes takes minutes. Otherwise it sends up to 1,000 revisions in one response.
func (c *Client) Watch(ctx context.Context, start, end []byte, revision, reached int64, fragments bool) (*Watch, error) {
	conn := c.current()
	ctx, cancel := context.WithCancel(RequireLeader(ctx))
	authentic, err := c.withToken(ctx, conn, false)
	if err != nil {
		cancel()
		return nil, err
	}
	w := &Watch{cancel: cancel, from: revision}
	if reached != 0 {
		revision = min(revision, reached)
	}
	if w.stream, err = pb.NewWatchClient(conn).Watch(authentic); err == nil {
		err = w.stream.Send(&pb.WatchRequest{RequestUnion: &pb.WatchRequest_CreateRequest{CreateRequest: &pb.WatchCreateRequest{
			Key: start, RangeEnd: end, StartRevision: revision, Fragment: fragments}}})
	}
	if err != nil {
		cancel()
		return nil, fmt.Errorf("starting the watch: %w", err)
	}
	return w, nil
}

// Next returns the next events, and the header of their response. A revision is never split, but a response
// may be. There may be no events: the response then only shows that the stream is alive.
func (w *Watch) Next() (*pb.ResponseHeader, []*mvccpb.Event, error) {
	for {
		r, err := w.stream.Recv()
		switch {
		case err != nil:
			return nil, nil, fmt.Errorf("watching: %w", err)
		case r.Canceled && r.CompactRevision != 0:
			return nil, nil, fmt.Errorf("watching: %w", ErrCompacted)
		case r.Canceled:
			return nil, nil, fmt.Errorf("watching: etcd ended the watch: %s", r.CancelReason)
		case r.Created:
			w.id = r.WatchId
			return r.Header, nil, nil
		case r.WatchId != w.id && len(r.Events) > 0:
			return nil, nil, fmt.Errorf("watching: found events of the watch %d, want those of %d", r.WatchId, w.id)
		}
		w.partial = r.Fragment
		wanted := slices.DeleteFunc(r.Events, func(e *mvccpb.Event) bool { return e.Kv.ModRevision < w.from })
		if len(wanted) > 0 || len(r.Events) == 0 {
			return r.Header, w.complete(wanted), nil
		}
	}
}

// complete adds events, and returns those of all revisions that are complete. The last revision of a
// fragment may go on in the next one.
func (w *Watch) complete(events []*mvccpb.Event) []*mvccpb.Event {
	w.events = append(w.events, events...)
	n := len(w.events)
	if w.partial {
		n = slices.IndexFunc(w.events, func(e *mvccpb.Event) bool { return e.Kv.ModRevision == w.events[n-1].Kv.ModRevision })
	}
	if n <= 0 {
		return nil
	}
	whole := w.events[:n:n]
	w.events = slices.Clone(w.events[n:])
	return whole
}

// Partial reports whether the rest of the last response is still to come.
func (w *Watch) Partial() bool { return w.partial }

// AskProgress makes etcd answer soon, even if there are no events. It must not be called by several
// goroutines at once.
func (w *Watch) AskProgress() error {
	return w.stream.Send(&pb.WatchRequest{RequestUnion: &pb.WatchRequest_ProgressRequest{ProgressRequest: &pb.WatchProgressRequest{}}})
}

// Close ends the watch.
func (w *Watch) Close() { w.cancel() }

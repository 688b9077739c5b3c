package rpc

import (
	"context"
	"errors"
	"fmt"

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
	// events are the fragments of a response that is not complete.
	events []*mvccpb.Event
	id     int64
}

// RequireLeader returns a context for calls that etcd ends if its member has no leader.
func RequireLeader(ctx context.Context) context.Context {
	return metadata.AppendToOutgoingContext(ctx, rpctypes.MetadataRequireLeaderKey, rpctypes.MetadataHasLeader)
}

// Watch starts to watch a range from a revision on. It ends with the context, or with Close.
//
// Etcd sends responses of more than 2 MiB in fragments if it is asked for them. The time that it
// needs for a fragment grows with the square of the number of its events, so that the removal of
// many nodes takes minutes. Otherwise it sends up to 1,000 revisions in one response.
func (c *Client) Watch(ctx context.Context, start, end []byte, revision int64, fragments bool) (*Watch, error) {
	conn := c.current()
	ctx, cancel := context.WithCancel(RequireLeader(ctx))
	authentic, err := c.withToken(ctx, conn, false)
	if err != nil {
		cancel()
		return nil, err
	}
	w := &Watch{cancel: cancel}
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

// Next returns the events of the next response, whole, and its header. There may be none: the
// response then only shows that the stream is alive.
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
		w.events = append(w.events, r.Events...)
		if r.Fragment {
			continue
		}
		events := w.events
		w.events = nil
		return r.Header, events, nil
	}
}

// AskProgress makes etcd answer soon, even if there are no events. It must not be called by several
// goroutines at once.
func (w *Watch) AskProgress() error {
	return w.stream.Send(&pb.WatchRequest{RequestUnion: &pb.WatchRequest_ProgressRequest{ProgressRequest: &pb.WatchProgressRequest{}}})
}

// Close ends the watch.
func (w *Watch) Close() { w.cancel() }

package presence

import (
	"context"
	"errors"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"etcd-tlsproxy/proxy/v2v3/layout"
	"etcd-tlsproxy/proxy/v2v3/rpc"
)

// Acknowledge makes the key of a session say that the tree was frozen at a revision, and that this
// proxy has no write under way. It fails if the session or the time is over.
func (n *Session) Acknowledge(ctx context.Context, name string, frozen int64) error {
	for {
		n.mu.Lock()
		if n.name != name {
			n.mu.Unlock()
			return errors.New("the session is over")
		}
		n.frozen = frozen
		revision := n.revision
		n.mu.Unlock()
		if _, err := n.FenceOff(ctx, name, revision); err != nil {
			return err
		}
		// A put that was under way may have had the old value.
		answer, err := n.Client.Range(ctx, &pb.RangeRequest{Key: n.Keys.Session(name)})
		if err == nil && len(answer.Kvs) == 1 {
			if found, err := layout.DecodePresence(answer.Kvs[0].Value); err == nil && found.Frozen == frozen {
				return nil
			}
		}
		if !rpc.Pause(ctx) {
			return ctx.Err()
		}
	}
}

// Tell makes the key say what comes of comparisons, soon.
func (n *Session) Tell(s *layout.Shadow) {
	n.mu.Lock()
	n.shadow = s
	n.mu.Unlock()
	n.Ask()
}

// value returns the value of the key.
func (n *Session) value() []byte {
	value := n.presence("")
	value.Auto = n.Auto
	n.mu.Lock()
	value.Frozen, value.Shadow = n.frozen, n.shadow
	n.mu.Unlock()
	return value.Encode()
}

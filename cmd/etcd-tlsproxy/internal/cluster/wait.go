package cluster

import (
	"context"
	"fmt"
	"slices"
	"time"

	client "go.etcd.io/etcd/client/v2"
)

const waitPollEvery = 200 * time.Millisecond

// Wait waits until a member has started and answers at the URLs that it advertises, or
// until ctx ends. The error says why the member is not ready.
func (c *Connection) Wait(ctx context.Context, id string) error {
	mc, err := c.memberClient()
	if err != nil {
		return err
	}
	defer mc.close()
	for {
		why := c.notReady(ctx, mc, id)
		if why == "" {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("waiting for member %s: %s", id, why)
		case <-time.After(waitPollEvery):
		}
	}
}

func (c *Connection) notReady(ctx context.Context, mc *memberClient, id string) string {
	members, err := c.Members(ctx)
	if err != nil {
		return err.Error()
	}
	at := slices.IndexFunc(members, func(m client.Member) bool { return m.ID == id })
	if at < 0 {
		return "it is not a member any more"
	}
	if m := mc.probe(ctx, members[at]); m.State != Healthy {
		return m.Problem()
	}
	return ""
}

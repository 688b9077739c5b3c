package lane

import (
	"context"

	"etcd-tlsproxy/proxy/v2store"
	"etcd-tlsproxy/proxy/v2v3"
	"etcd-tlsproxy/proxy/v2v3/turn"
)

// writer is the client of a write to a store.
type writer struct {
	call *Call
	slot slot
}

// write has the store carry out a write. It has no slot while it waits for others that change the
// same, so that they do not keep everybody from etcd.
func (x *Exchange) write(ctx context.Context, call *Call, parsed *v2store.Operation, a *Answer) (v2store.Answer, error) {
	w := writer{call, a.slot}
	a.slot = slot{}
	defer func() { a.slot = w.slot }()
	return call.Snapshot.Origin.Store.DoFor(ctx, parsed, &v2v3.Client{Client: turn.Client{Account: call.account, Wait: w.wait}, Known: call.Op.Identity.Name != "", Written: x.Written})
}

// wait calls a function that waits for other writes, and returns when the client has its slot again.
func (w *writer) wait(ctx context.Context, wait func(context.Context) error) error {
	w.slot.release()
	return w.call.wait(ctx, func(ctx context.Context) error {
		if err := wait(ctx); err != nil {
			return err
		}
		return w.slot.acquire(ctx)
	})
}

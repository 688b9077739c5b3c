package lane

import (
	"context"

	"etcd-tlsproxy/proxy/v2store"
	"etcd-tlsproxy/proxy/v2v3"
)

// writer is the client of a write to a store.
type writer struct {
	call *Call
	slot slot
}

// do has the store carry out an operation. A write has no slot while it waits for others that change the
// same, so that they do not keep everybody from etcd.
func (o *Origin) do(ctx context.Context, call *Call, parsed *v2store.Operation, a *Answer) (v2store.Answer, error) {
	if !parsed.Write() {
		return o.Store.DoFor(ctx, parsed, nil)
	}
	w := writer{call, a.slot}
	a.slot = slot{}
	defer func() { a.slot = w.slot }()
	return o.Store.DoFor(ctx, parsed, &v2v3.Client{Account: call.account, Wait: w.wait})
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

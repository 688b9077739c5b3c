package changeover

import (
	"context"
	"sync"
	"time"

	"etcd-tlsproxy/proxy/v2v3/layout"
	"etcd-tlsproxy/proxy/v2v3/rpc"
)

// thawEvery is how often a proxy looks whether the command that froze the tree is still there.
const thawEvery = time.Second

// freezing runs the work for one description at a time.
type freezing struct {
	cancel context.CancelFunc
	done   chan struct{}
}

func (f *freezing) begin(ctx context.Context, work func(context.Context)) {
	ctx, f.cancel = context.WithCancel(ctx)
	f.done = make(chan struct{})
	go func() {
		defer close(f.done)
		work(ctx)
	}()
}

// end ends the work, if there is any.
func (f *freezing) end() {
	if f.cancel != nil {
		f.cancel()
		<-f.done
		f.cancel = nil
	}
}

// freeze is what a proxy does while the tree is frozen.
type freeze struct {
	p        *Proxy
	session  string
	revision int64 // of the description that froze the tree
	meta     *layout.Meta
}

// run says that this proxy has no write under way as soon as that is so, and watches over the command
// meanwhile and afterwards. ctx ends when the tree is not frozen any more.
func (f *freeze) run(ctx context.Context) {
	ctx, cancel := context.WithCancel(ctx)
	var saying sync.WaitGroup
	defer saying.Wait()
	defer cancel()
	saying.Go(func() { f.acknowledge(ctx) })
	ticker := time.NewTicker(thawEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
		if f.thaw(ctx) {
			return
		}
	}
}

// acknowledge says that this proxy has no write under way. Without a session nobody waits for it.
func (f *freeze) acknowledge(ctx context.Context) {
	if f.session == "" || !f.p.drained(ctx) {
		return
	}
	if err := f.p.session.Acknowledge(ctx, f.session, f.revision); err != nil && ctx.Err() == nil {
		f.p.o.Log.Warn("the command that moves the tree was not told that this proxy holds its writes", "error", err)
	}
}

// drained waits until no write is under way.
func (p *Proxy) drained(ctx context.Context) bool {
	for {
		p.mu.Lock()
		under, changed := p.under, p.changed
		p.mu.Unlock()
		if under == 0 {
			return true
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return false
		}
	}
}

// thaw ends the freeze if the command is gone, and reports whether it has done so. The command compares its
// lock in each of its transactions, so it cannot go on afterwards.
func (f *freeze) thaw(ctx context.Context) bool {
	p := f.p
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	done, err := Thaw(ctx, p.client, p.keys, f.meta, func(t *layout.Txn) {
		t.Modified(p.keys.Meta(), f.revision)
		t.Vacant(p.keys.Lock(), nil)
	})
	if err != nil {
		p.o.Log.Debug("looking after the command that moves the tree", "error", rpc.Reason(err))
	}
	if done {
		p.o.Log.Warn("the command that moved the tree has ended early; writes are taken as before")
	}
	return done
}

package v2v3

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"etcd-tlsproxy/proxy/proxytest"
)

// TestASessionThatBeginsAfterTheLoadDoesNotWriteByOldRules freezes the tree when a proxy has read it and has
// no session yet. Who freezes a tree asks all sessions, and does not know of this one. The proxy
// itself hears of it only later.
func TestASessionThatBeginsAfterTheLoadDoesNotWriteByOldRules(t *testing.T) {
	t.Parallel()
	f, relay := startRelayed(t)
	begin, hear, refused := make(chan struct{}), make(chan struct{}), make(chan struct{}, 10)
	wait := func(ctx context.Context, c <-chan struct{}) error {
		select {
		case <-c:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	relay.Set(func(ctx context.Context, method string, direction int, message []byte) error {
		switch {
		case direction == proxytest.ToEtcd && method == "/etcdserverpb.KV/Put" && bytes.Contains(message, f.keys.Session("")):
			return wait(ctx, begin)
		case direction == proxytest.FromEtcd && method == "/etcdserverpb.Watch/Watch" && bytes.Contains(message, []byte("frozen")):
			return wait(ctx, hear)
		case direction == proxytest.FromEtcd && method == txnMethod:
			answer := new(pb.TxnResponse)
			if answer.Unmarshal(message) == nil && !answer.Succeeded && len(answer.Responses) > 2 { // that of a write
				refused <- struct{}{}
			}
		}
		return nil
	})
	o := f.options
	o.Endpoints = []Endpoint{{Addr: relay.Addr()}}
	late, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(late.Close)
	if err := late.Ready(testContext(t)); err != nil {
		t.Fatal(err)
	}
	before, c := f.events(), f.client()
	meta := late.described()
	meta.State = "frozen"
	if _, err := c.Put(testContext(t), &pb.PutRequest{Key: f.keys.Meta(), Value: meta.Encode()}); err != nil {
		t.Fatal(err)
	}
	outcome := make(chan error, 1)
	go func() {
		_, err := late.Do(testContext(t), parse(t, "PUT /a?value=1"))
		outcome <- err
	}()
	close(begin)
	next(t, refused)
	close(hear)
	var e *Error
	if err := next(t, outcome); !errors.As(err, &e) || e.Kind != NotLive || !strings.Contains(e.Reason, "frozen") {
		t.Errorf("got the error %v, want that the tree is frozen", err)
	}
	if got := f.events(); got != before {
		t.Errorf("the store has had %d events since, want none", got-before)
	}
}

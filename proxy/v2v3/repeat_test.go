package v2v3

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"etcd-tlsproxy/proxy/proxytest"
)

// TestAWriteIsRepeatedAtAnotherMember has a member that falls silent when it gets a write: once before it
// has executed it, and once after. The write and the answer go on when the client has its answer.
func TestAWriteIsRepeatedAtAnotherMember(t *testing.T) {
	t.Parallel()
	for _, executed := range []bool{false, true} {
		t.Run(fmt.Sprint("executed ", executed), func(t *testing.T) {
			t.Parallel()
			f, relay := startRelayed(t)
			before := f.events()
			silent, late := make(chan struct{}), make(chan bool, 10)
			var got atomic.Bool
			relay.Set(func(ctx context.Context, method string, direction int, message []byte) error {
				first := direction == proxytest.ToEtcd && writes(method, "/lost", message) && got.CompareAndSwap(false, true)
				if got.Load() && !(first && executed) {
					select {
					case <-silent:
					case <-ctx.Done():
						return ctx.Err()
					}
				}
				if answer := new(pb.TxnResponse); method == txnMethod && direction == proxytest.FromEtcd && answer.Unmarshal(message) == nil && len(answer.Responses) > 2 {
					late <- answer.Succeeded // that of a write: others have fewer parts
				}
				return nil
			})
			answer := f.do("PUT /lost?value=1") // nothing but the fence keeps a set from being executed again
			if at, _ := f.endpoint(); !strings.HasPrefix(answer, "201 ") || at != 1 {
				t.Errorf("got %s at the endpoint %d, want the answer of etcd at the other one", answer, at)
			}
			close(silent)
			if succeeded := next(t, late); succeeded != executed {
				t.Errorf("the write that the silent member got succeeded: %v, want %v", succeeded, executed)
			}
			if got := f.events(); got != before+1 {
				t.Errorf("the store has had %d events since, want 1", got-before)
			}
		})
	}
}

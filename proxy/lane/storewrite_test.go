package lane

import (
	"context"
	"errors"
	"testing"

	"etcd-tlsproxy/proxy/account"
	"etcd-tlsproxy/proxy/gate"
	"etcd-tlsproxy/proxy/v2store"
	"etcd-tlsproxy/proxy/v2v3"
)

func TestAWriteHoldsNoSlotWhileItWaitsForItsTurn(t *testing.T) {
	store := &answers{answer: v2store.Answer{Status: 200, Body: []byte("{}")}}
	r := newStoreRig(t, store)
	r.Proposals = r.Accounts.NewPool(account.Options{Name: "proposals", Total: 4})
	waited := false
	store.waits = func(context.Context) error {
		waited = true
		if r.Slots.Used() != 0 || r.Proposals.Used() != 0 {
			t.Errorf("a write that waits holds %d slots and %d proposals, want none", r.Slots.Used(), r.Proposals.Used())
		}
		return nil
	}
	store.asked = func(*v2store.Operation) {
		if r.Slots.Used() != 1 || r.Proposals.Used() != 1 {
			t.Errorf("a write that has its turn holds %d slots and %d proposals, want one of each", r.Slots.Used(), r.Proposals.Used())
		}
	}
	call := r.clientCall(t, "PUT", "/v2/keys/a")
	a, refusal, err := r.Do(t.Context(), call, room(100))
	if !waited || refusal != nil || err != nil || a.Status != 200 || call.Turn == 0 {
		t.Errorf("got the status %d, the refusal %v, the error %v and a wait of %s, want an answer after a wait", a.Status, refusal, err, call.Turn)
	}
	a.Close()
	if r.Slots.Used() != 0 || r.Proposals.Used() != 0 {
		t.Errorf("at the end %d slots and %d proposals are held, want none", r.Slots.Used(), r.Proposals.Used())
	}
}

// TestAWriteWithoutItsTurnIsNoFailureOfEtcd has a turn that does not come, and one that is of no use, because the
// slots are held by others.
func TestAWriteWithoutItsTurnIsNoFailureOfEtcd(t *testing.T) {
	store := &answers{}
	r := newStoreRig(t, store)
	r.Slots.Resize(1, 0)
	other := r.Accounts.User("other", r.call(t, "GET", "/v2/keys/a", "root").Peer.Addr.Addr())
	defer other.Close()
	held := 0
	for what, wait := range map[string]func(context.Context) error{
		"a turn that does not come": func(context.Context) error { return errors.New("busy") },
		"a turn that is of no use": func(context.Context) error {
			for r.Slots.TryAcquire(other, 1, account.Write) {
				held++
			}
			return nil
		},
	} {
		store.waits = wait
		call := r.clientCall(t, "PUT", "/v2/keys/a")
		call.Client = &hasty{}
		_, refusal, err := r.Do(t.Context(), call, room(100))
		if refusal != gate.RefuseUpstreamBusy || err != nil {
			t.Errorf("%s: got the refusal %v and the error %v, want %v", what, refusal, err, gate.RefuseUpstreamBusy)
		}
		for ; held > 0; held-- {
			r.Slots.Release(other, 1, account.Write)
		}
		if r.Slots.Used() != 0 {
			t.Errorf("%s: %d slots are held, want none", what, r.Slots.Used())
		}
	}
}

// hasty is a client that does not wait.
type hasty struct{ client }

func (*hasty) Queued(end context.CancelFunc) {
	if end != nil {
		end()
	}
}

func TestAWriteForWhichThereIsNoRoomIsRefusedByWhoseItIs(t *testing.T) {
	for whose, want := range map[v2v3.Room]*gate.Refusal{v2v3.ForModest: gate.RefuseGreedy, v2v3.ForKnown: gate.RefuseOpen, v2v3.ForNone: gate.RefuseFull} {
		r := newStoreRig(t, &answers{err: &v2v3.Error{Kind: v2v3.NoRoom, Room: whose}})
		_, refusal, err := r.Do(t.Context(), r.clientCall(t, "PUT", "/v2/keys/a"), room(100))
		if refusal != want || err != nil || r.Slots.Used() != 0 {
			t.Errorf("room for %d: got the refusal %v, the error %v and %d slots, want %v", whose, refusal, err, r.Slots.Used(), want)
		}
		if counts := r.failures(t); len(counts) != 0 {
			t.Errorf("room for %d: counted %v, want no failure of etcd", whose, counts)
		}
	}
}

// TestTheStoreKnowsOnWhoseBehalfItWrites has writes with a login and without one.
func TestTheStoreKnowsOnWhoseBehalfItWrites(t *testing.T) {
	for target, known := range map[string]bool{"/v2/keys/a": true, "/v2/keys/eventlogging/a": false} {
		store := &answers{answer: v2store.Answer{Status: 200, Body: []byte("{}")}}
		r := newStoreRig(t, store)
		r.Written = &account.Tally{}
		call := r.clientCall(t, "PUT", target)
		a, _, _ := r.Do(t.Context(), call, room(100))
		a.Close()
		if c := store.client; c.Known != known || c.Account != call.account || c.Written != r.Written {
			t.Errorf("PUT %s: got the client %+v, want known %t, its account and the tally", target, c, known)
		}
	}
}

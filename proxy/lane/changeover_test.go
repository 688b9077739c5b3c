package lane

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"etcd-tlsproxy/proxy/gate"
	"etcd-tlsproxy/proxy/proxytest"
	"etcd-tlsproxy/proxy/v2store"
	"etcd-tlsproxy/proxy/v2v3"
	"etcd-tlsproxy/proxy/v2v3/changeover"
	"etcd-tlsproxy/proxy/v2v3/layout"
	"etcd-tlsproxy/proxy/v2v3/rpc"
)

// follower is a proxy of a fleet whose tree has the keys.
func follower(t *testing.T) *changeover.Proxy {
	t.Helper()
	return followerOf(t, layout.Meta{State: layout.Live})
}

// followerOf is a proxy of a fleet whose tree is in a state, which a command keeps there.
func followerOf(t *testing.T, meta layout.Meta) *changeover.Proxy {
	t.Helper()
	etcd, err := proxytest.StartEmbedded(proxytest.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(etcd.Close)
	endpoints := []rpc.Endpoint{{Addr: strings.TrimPrefix(etcd.URL(), "http://")}}
	client, err := rpc.New(endpoints, "", "")
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	meta.Schema, meta.MinRead, meta.MinWrite, meta.Moved, meta.Generation = layout.Schema, layout.Schema, layout.Schema, true, "g"
	for _, put := range []*pb.PutRequest{{Key: layout.Keys("p").Lock()}, {Key: layout.Keys("p").Meta(), Value: meta.Encode()}} {
		if _, err := client.Put(t.Context(), put); err != nil {
			t.Fatal(err)
		}
	}
	c, err := changeover.Open(changeover.Options{Endpoints: endpoints, Prefix: "p", Timeout: 10 * time.Second, Log: slog.New(slog.DiscardHandler), Switched: func() {}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if err := c.Ready(ctx); err != nil {
		t.Fatal(err)
	}
	return c
}

// TestAnOperationWaitsUntilTheTreeAndItsDescriptionAgree has a store that learns of a thaw after the changeover.
func TestAnOperationWaitsUntilTheTreeAndItsDescriptionAgree(t *testing.T) {
	c := follower(t)
	for _, method := range []string{"PUT", "GET"} {
		store := &answers{answer: found(3)}
		asked := 0
		store.asked = func(*v2store.Operation) {
			if asked++; asked < 3 {
				store.err = &v2v3.Error{Kind: v2v3.NotLive, Reason: "it is in the state \"frozen\""}
			} else {
				store.err = nil
			}
		}
		r := newStoreRig(t, store)
		r.snapshot.Changeover = c
		a, refusal, err := r.Do(t.Context(), r.clientCall(t, method, "/v2/keys/a?quorum=true"), room(100))
		if refusal != nil || err != nil || a.Status != 200 || asked != 3 {
			t.Errorf("%s: got the refusal %v, the error %v and the status %d after %d attempts; want an answer after three", method, refusal, err, a.Status, asked)
		}
		a.Close()
		if failures := r.failures(t); len(failures) != 0 {
			t.Errorf("%s: counted the failures %v, want none", method, failures)
		}
	}
}

// TestAHeldWriteIsNotExecutedOnceItsClientHasLeft has a store that takes writes as soon as the client has left.
func TestAHeldWriteIsNotExecutedOnceItsClientHasLeft(t *testing.T) {
	store := &answers{answer: found(3)}
	present, leave := context.WithCancel(t.Context())
	asked := 0
	store.asked = func(*v2store.Operation) {
		switch asked++; asked {
		case 1:
			store.err = &v2v3.Error{Kind: v2v3.NotLive, Reason: "it is in the state \"frozen\""}
		case 2:
			leave()
		default:
			store.err = nil
		}
	}
	r := newStoreRig(t, store)
	r.snapshot.Changeover = follower(t)
	call := r.clientCall(t, "PUT", "/v2/keys/a?value=1")
	call.Present = present
	if _, refusal, err := r.Do(t.Context(), call, room(100)); refusal != nil || !errors.Is(err, ErrBrokenOff) || asked != 2 {
		t.Errorf("got the refusal %v and the error %v after %d attempts; want %v after two", refusal, err, asked, ErrBrokenOff)
	}
}

// TestAllWaitsOfAWriteEndTogether has a store that never agrees with the description of its tree.
func TestAllWaitsOfAWriteEndTogether(t *testing.T) {
	store := &answers{err: &v2v3.Error{Kind: v2v3.NotLive, Reason: "it is in the state \"frozen\""}}
	r := newStoreRig(t, store)
	h := held{c: follower(t), present: t.Context(), until: time.Now()}
	var log strings.Builder
	r.Held = NewHeld(slog.New(slog.NewTextHandler(&log, nil)))
	for range 3 {
		call := r.clientCall(t, "PUT", "/v2/keys/a?value=1")
		call.account = call.Peer.Account
		if _, refusal, err := r.whileHeld(t.Context(), &h, call, room(100)); refusal != gate.RefuseHeld || err != nil {
			t.Errorf("a write whose time was over before the store was asked: got the refusal %v and the error %v, want %v", refusal, err, gate.RefuseHeld)
		}
	}
	if lines := strings.Count(log.String(), "\n"); lines != 1 || !strings.Contains(log.String(), "a request was held for too long and refused") {
		t.Errorf("got %d lines in the log, the first %q, want one for all refusals", lines, log.String())
	}
}

// TestAWriteThatHasWaitedIsNotHeldForLongAgain has a tree freeze when the time of a write is over.
func TestAWriteThatHasWaitedIsNotHeldForLongAgain(t *testing.T) {
	r := newStoreRig(t, &answers{answer: found(3)})
	present, leave := context.WithTimeout(t.Context(), 5*time.Second)
	defer leave()
	h := held{c: followerOf(t, layout.Meta{State: layout.Frozen, Before: layout.Live}), present: present, until: time.Now()}
	call := r.clientCall(t, "PUT", "/v2/keys/a?value=1")
	if _, refusal, err := r.whileHeld(t.Context(), &h, call, room(100)); refusal != gate.RefuseHeld || err != nil {
		t.Errorf("got the refusal %v and the error %v, want %v at once", refusal, err, gate.RefuseHeld)
	}
}

package v2v3

import (
	"errors"
	"testing"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"etcd-tlsproxy/proxy/v2v3/layout"
)

// describe gives the tree another state, as a command does that moves the keys.
func (f *fixture) describe(state, before string) {
	f.Helper()
	f.mu.RLock()
	meta := f.described()
	f.mu.RUnlock()
	meta.State, meta.Before = state, before
	if _, err := f.client().Put(testContext(f.T), &pb.PutRequest{Key: f.keys.Meta(), Value: meta.Encode()}); err != nil {
		f.Fatal(err)
	}
}

// failure returns the kind of the error of an operation; 0 if it was answered.
func (f *fixture) failure(request string) Kind {
	f.Helper()
	_, err := f.Do(testContext(f.T), parse(f.T, request))
	var known *Error
	if err != nil && !errors.As(err, &known) {
		f.Fatalf("%s: got the error %v, want one of a kind", request, err)
	}
	if known == nil {
		return 0
	}
	return known.Kind
}

// TestATreeWhoseKeysAreMovedSaysThatItDoesNotHaveThem asks right after the description was put, before its event may be there.
func TestATreeWhoseKeysAreMovedSaysThatItDoesNotHaveThem(t *testing.T) {
	t.Parallel()
	f := start(t)
	f.do("PUT /a?value=1")
	f.describe(layout.Frozen, layout.Live)
	for request, want := range map[string]Kind{"GET /a?quorum=true": 0, "PUT /a?value=2": NotLive} {
		if got := f.failure(request); got != want {
			t.Errorf("%s of a frozen tree: got the kind %d, want %d", request, got, want)
		}
	}
	f.describe(layout.Unfinished, "")
	for _, request := range []string{"GET /a?quorum=true", "PUT /a?value=2"} {
		if got := f.failure(request); got != NotLive {
			t.Errorf("%s of a tree that was moved away: got the kind %d, want %d", request, got, NotLive)
		}
	}
}

package rpc

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"

	"etcd-tlsproxy/proxy/proxytest"
)

func TestAWatchReceivesTheEventsFromItsRevisionOn(t *testing.T) {
	c := newClient(t, "", "", endpoint(t, startEtcd(t).URL()))
	put(t, c, "w/a", "0")
	first := put(t, c, "w/a", "1")
	put(t, c, "w/b", "2")
	put(t, c, "x", "3")
	w, err := c.Watch(testContext(t), []byte("w/"), []byte("w0"), first, 0, false)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	var got []string
	for len(got) < 3 {
		header, events, err := w.Next()
		if err != nil {
			t.Fatal(err)
		}
		if header.ClusterId == 0 {
			t.Error("a response has no cluster")
		}
		for _, e := range events {
			got = append(got, string(e.Kv.Key)+"="+string(e.Kv.Value))
		}
		if len(got) == 2 {
			put(t, c, "w/c", "4")
		}
	}
	if all := strings.Join(got, " "); all != "w/a=1 w/b=2 w/c=4" {
		t.Errorf("got the events %s", all)
	}
}

func TestAWatchOfACompactedRevisionSaysSo(t *testing.T) {
	c := newClient(t, "", "", endpoint(t, startEtcd(t).URL()))
	first := put(t, c, "a", "1")
	if _, err := c.Compact(testContext(t), &pb.CompactionRequest{Revision: put(t, c, "a", "2")}); err != nil {
		t.Fatal(err)
	}
	w, err := c.Watch(testContext(t), []byte("a"), nil, first, 0, false)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	for err == nil {
		var events []*mvccpb.Event
		if _, events, err = w.Next(); len(events) > 0 {
			t.Fatalf("got the events %v, want none", events)
		}
	}
	if !Compacted(err) || !errors.Is(err, ErrCompacted) {
		t.Errorf("got the error %v, want that the revision is compacted", err)
	}
}

func TestAWatchThatEtcdEndsTellsWhy(t *testing.T) {
	e := endpoint(t, startEtcd(t).URL())
	protect(t, e)
	w, err := newClient(t, "proxy", "p", e).Watch(testContext(t), []byte("b"), nil, 0, 0, false)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	if _, _, err = w.Next(); err == nil || Compacted(err) || !strings.Contains(err.Error(), "etcd ended the watch: rpc error: code = PermissionDenied") {
		t.Errorf("got the error %v, want the reason of etcd", err)
	}
}

// TestEventsInFragmentsArriveAsOneResponse watches three values that together are larger than what etcd
// sends at once.
func TestEventsInFragmentsArriveWholeAndOnce(t *testing.T) {
	e := endpoint(t, startEtcd(t).URL())
	c := newClient(t, "", "", e, e)
	first := put(t, c, "a", strings.Repeat("1", 1<<20))
	put(t, c, "a", strings.Repeat("2", 1<<20))
	put(t, c, "a", strings.Repeat("3", 1<<20))
	c.LimitResponses(5 << 19)
	if err := c.Use(1); err != nil {
		t.Fatal(err)
	}
	w := watch(t, c, "a", first, true)
	var values string
	for len(values) < 3 {
		_, events, err := w.Next()
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range events {
			values += string(e.Kv.Value[:1])
		}
	}
	if values != "123" {
		t.Errorf("in fragments: got events of the values %s, want 123", values)
	}
	put(t, c, "a", "4")
	if _, events, err := w.Next(); err != nil || len(events) != 1 || string(events[0].Kv.Value) != "4" {
		t.Errorf("after the fragments: got the events %v, %v, want the next one only", events, err)
	}
	if _, _, err := watch(t, c, "a", first, false).Next(); !TooLarge(err) {
		t.Errorf("in one response: got the error %v, want that it is too large", err)
	}
}

func TestProgressIsAnsweredWithoutEvents(t *testing.T) {
	c := newClient(t, "", "", endpoint(t, startEtcd(t).URL()))
	w := watch(t, c, "a", 0, false)
	revision := put(t, c, "b", "1")
	if err := w.AskProgress(); err != nil {
		t.Fatal(err)
	}
	header, events, err := w.Next()
	if err != nil || len(events) > 0 || header.Revision != revision {
		t.Errorf("got the header %v with %d events, %v, want the revision %d and none", header, len(events), err, revision)
	}
	w.Close()
	ended(t, w)
}

// TestAnIdleStoreAnswersHeartbeats watches what comes after the newest revision, as a follower does that has read the
// store. Nobody writes.
func TestAnIdleStoreAnswersHeartbeats(t *testing.T) {
	for _, release := range proxytest.Releases() {
		t.Run(release.Name, func(t *testing.T) {
			t.Parallel()
			etcd, err := release.Cluster(t.TempDir(), 1)
			t.Cleanup(etcd.Close)
			if err != nil {
				t.Fatal(err)
			}
			c := newClient(t, "", "", endpoint(t, etcd.URLs()[0]))
			newest := put(t, c, "a", "1")
			w, err := c.Watch(testContext(t), []byte("a"), nil, newest+1, newest, false)
			if err != nil {
				t.Fatal(err)
			}
			defer beat(t, w)()
			for range 5 { // the first response is that to the watch itself
				if _, events, err := w.Next(); err != nil || len(events) > 0 {
					t.Fatalf("got %d events, %v; want an answer to a heartbeat without any", len(events), err)
				}
			}
			revision := put(t, c, "a", "2")
			for {
				_, events, err := w.Next()
				if err != nil || len(events) > 0 && events[0].Kv.ModRevision != revision {
					t.Fatalf("got the events %v, %v; want that of the revision %d", events, err, revision)
				}
				if len(events) > 0 {
					return
				}
			}
		})
	}
}

// beat asks for progress until the result is called.
func beat(t *testing.T, w *Watch) (end func()) {
	t.Helper()
	var beating sync.WaitGroup
	stop := make(chan struct{})
	beating.Go(func() {
		ticker := time.NewTicker(20 * time.Millisecond)
		defer ticker.Stop()
		for {
			select {
			case <-stop:
				return
			case <-ticker.C:
			}
			if err := w.AskProgress(); err != nil {
				t.Error(err)
				return
			}
		}
	})
	return func() {
		close(stop)
		beating.Wait()
		w.Close()
	}
}

// script is a stream of responses that etcd does not send.
type script struct {
	pb.Watch_WatchClient
	responses []*pb.WatchResponse
}

func (s *script) Recv() (*pb.WatchResponse, error) {
	r := s.responses[0]
	s.responses = s.responses[1:]
	return r, nil
}

func TestEventsOfAnotherWatchAreAnError(t *testing.T) {
	events := []*mvccpb.Event{{Kv: &mvccpb.KeyValue{}}}
	w := &Watch{stream: &script{responses: []*pb.WatchResponse{{Created: true, WatchId: 7}, {WatchId: 7, Events: events}, {WatchId: -1}, {WatchId: 8, Events: events}}}}
	for _, want := range []int{0, 1, 0} {
		if _, got, err := w.Next(); err != nil || len(got) != want {
			t.Errorf("got %d events, %v, want %d", len(got), err, want)
		}
	}
	if _, got, err := w.Next(); err == nil || len(got) > 0 || err.Error() != "watching: found events of the watch 8, want those of 7" {
		t.Errorf("got %d events and the error %v, want that they are of another watch", len(got), err)
	}
}

// unknown is a context whose children need a goroutine each until they end, so that one that does not
// end is found as a leak.
type unknown struct {
	context.Context
	done chan struct{}
}

func (u unknown) Done() <-chan struct{} { return u.done }

func TestAWatchThatCannotStartLeavesNothing(t *testing.T) {
	etcd := startEtcd(t)
	link, e := newLink(t, etcd)
	c := newClient(t, "", "", e)
	link.Cut()
	if w, err := c.Watch(unknown{testContext(t), make(chan struct{})}, []byte("a"), nil, 0, 0, false); w != nil || err == nil || !strings.HasPrefix(err.Error(), "starting the watch: ") {
		t.Errorf("without etcd: got the error %v, want that it says what failed", err)
	}
	link.Mend()
	protect(t, e)
	wrong := newClient(t, "proxy", "wrong", e)
	if w, err := wrong.Watch(unknown{testContext(t), make(chan struct{})}, []byte("a"), nil, 0, 0, false); w != nil || err == nil {
		t.Errorf("without a token: got the error %v, want one", err)
	}
}

func TestAFragmentWithoutEventsHasNone(t *testing.T) {
	events := []*mvccpb.Event{{Kv: &mvccpb.KeyValue{ModRevision: 5}}}
	w := &Watch{stream: &script{responses: []*pb.WatchResponse{{Fragment: true}, {Fragment: true, Events: events}, {}}}}
	for i, want := range []int{0, 0, 1} { // the revision 5 may go on until the last one
		if _, got, err := w.Next(); err != nil || len(got) != want || w.Partial() != (i < 2) {
			t.Errorf("response %d: got %d events, %v, and that the rest is to come %t; want %d", i, len(got), err, w.Partial(), want)
		}
	}
}

package v2v3

import (
	"testing"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
)

func TestTheNewestRevisionThatWasShownIsKept(t *testing.T) {
	var n seen
	for _, step := range []struct {
		show             int64
		from             int
		revision         int64
		endpoint         int
		bound, afterward int64
	}{{5, 1, 5, 1, 9, 5}, {4, 2, 5, 1, 5, 5}, {5, 2, 5, 1, 9, 5}, {7, 2, 7, 2, 6, 6}, {6, 0, 6, 2, 6, 6}, {8, 0, 8, 0, 0, 0}} {
		n.show(step.show, step.from)
		if revision, endpoint := n.newest(); revision != step.revision || endpoint != step.endpoint {
			t.Errorf("after %d of the endpoint %d: got %d of %d, want %d of %d", step.show, step.from, revision, endpoint, step.revision, step.endpoint)
		}
		n.bound(step.bound)
		if revision, _ := n.newest(); revision != step.afterward {
			t.Errorf("after a linearizable read at %d: got %d, want %d", step.bound, revision, step.afterward)
		}
	}
	n.show(9, 1)
	n.forget()
	if revision, _ := n.newest(); revision != 0 {
		t.Errorf("of another past: got %d, want none", revision)
	}
}

// TestAStreamIsOnlyTooLongBehindIfItIsIdle counts ticks, four to a second.
func TestAStreamIsOnlyTooLongBehindIfItIsIdle(t *testing.T) {
	for what, test := range map[string]struct {
		idle func(tick int) int64 // the responses without events by then
		want int                  // the first tick that is too long; 0 if none is
	}{
		"an idle stream":                     {func(tick int) int64 { return int64(tick) }, 5},
		"a stream of events":                 {func(int) int64 { return 7 }, 0},
		"one idle response":                  {func(tick int) int64 { return min(int64(tick), 2) }, 0},
		"two idle responses":                 {func(tick int) int64 { return min(int64(tick), 3) }, 5},
		"idle responses after many events":   {func(tick int) int64 { return max(1, int64(tick)-8) }, 11},
		"no idle response since the first":   {func(tick int) int64 { return 1 }, 0},
		"the second idle one after a while":  {func(tick int) int64 { return []int64{1, 3}[min(1, tick/8)] }, 8},
		"only one idle one after the others": {func(tick int) int64 { return []int64{1, 2}[min(1, tick/8)] }, 0},
	} {
		var l lag
		if l.tooLong(true, 0) {
			t.Errorf("%s: a stream that is up to date is behind", what)
		}
		got := 0
		for tick := 1; tick <= 20 && got == 0; tick++ {
			if l.tooLong(false, test.idle(tick)) {
				got = tick
			}
		}
		if got != test.want {
			t.Errorf("%s: behind for too long at the tick %d, want %d", what, got, test.want)
		}
		if l.tooLong(true, 100) || l != (lag{}) || l.tooLong(false, 200) {
			t.Errorf("%s: a stream that is up to date again is still behind", what)
		}
	}
}

func TestTheHeadersOfResponsesOnlyRaiseTheRevision(t *testing.T) {
	s := &Store{}
	for _, h := range []pb.ResponseHeader{{Revision: 5, RaftTerm: 2}, {Revision: 3, RaftTerm: 3}, {Revision: 5, RaftTerm: 3}} {
		s.header(&h)
		if got := s.Cluster(); got.RaftIndex != 5 || got.RaftTerm != h.RaftTerm || got.ID != 0 {
			t.Errorf("after %+v: got %+v, want the newest revision and the term", &h, got)
		}
	}
	s.header(&pb.ResponseHeader{Revision: 6})
	if got := s.Cluster().RaftIndex; got != 6 {
		t.Errorf("got %d, want 6", got)
	}
}

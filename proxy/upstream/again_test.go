package upstream

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync/atomic"
	"testing"
	"time"
)

func TestWhichSlotARequestHas(t *testing.T) {
	for _, c := range []struct {
		req  Request
		want slot
	}{
		{Request{Method: "GET"}, reading}, {Request{Method: "HEAD"}, reading}, {Request{Method: "PUT"}, writing}, {Request{Method: "DELETE"}, writing}, {Request{Method: "OPTIONS"}, writing},
		{Request{Method: "GET", Watch: true}, watching}, {Request{Method: "GET", Watch: true, Past: true}, reading},
	} {
		if got := slotFor(&c.req); got != c.want {
			t.Errorf("the slot of %+v: got %d, want %d", c.req, got, c.want)
		}
	}
}

func TestAClientThatGivesUpLeavesTheQueueOfSlotsUsable(t *testing.T) {
	p := newSlots(1)
	if err := p.acquire(t.Context(), writing, time.Minute); err != nil {
		t.Fatal(err)
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	for range 3 {
		if err := p.acquire(gone, reading, time.Minute); !errors.Is(err, context.Canceled) {
			t.Errorf("waiting for a client that has left: got %v, want %v", err, context.Canceled)
		}
		if err := p.acquire(t.Context(), writing, time.Nanosecond); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("waiting without patience: got %v, want %v", err, context.DeadlineExceeded)
		}
	}
	if n := p.waiting.Load(); n != 0 || p.queues[reading].Len()+p.queues[writing].Len() != 0 {
		t.Errorf("after all have given up: got %d that wait, want none", n)
	}
	p.release(writing)
	if err := p.acquire(gone, reading, time.Minute); err != nil {
		t.Errorf("a free slot: got %v, want it", err)
	}
	p.release(reading)
	if n := p.inUse.Load(); n != 0 {
		t.Errorf("in the end: got %#x in use, want none", n)
	}
}

const watchHead = "HTTP/1.1 200 OK\r\nX-Etcd-Index: 7\r\nTransfer-Encoding: chunked\r\n\r\n"

// past starts a watch from an old index.
func past(t *testing.T, p *Pool) *Response {
	t.Helper()
	r, err := p.Do(context.Background(), &Request{Method: "GET", Target: "/", Watch: true, Past: true})
	if err != nil {
		t.Fatal(err)
	}
	if p.count.Active.Load() != 1 {
		t.Errorf("a watch from an old index: got %d slots in use, want 1", p.count.Active.Load())
	}
	return r
}

func TestAWatchFromAnOldIndexHasTheSlotOfAReadUntilItWaits(t *testing.T) {
	event := make(chan struct{})
	s := serve(t, func(c *session) {
		c.request()
		c.say(watchHead)
		<-event
		c.say("5\r\nevent\r\n0\r\n\r\n")
		c.request()
	})
	p := newPool(t, Options{MaxWatches: 1, BodyTimeout: time.Hour}, s.endpoint())
	r := past(t, p)
	if n := p.count.Watching.Load(); n != 0 {
		t.Errorf("before it waits: got %d watches in use, want none", n)
	}
	if arrived, err := r.Arrived(time.Millisecond); arrived || err != nil {
		t.Errorf("Arrived before the event: got %t, %v; want false, none", arrived, err)
	}
	if err := r.KeepWatching(); err != nil || p.count.Active.Load() != 0 || p.count.Watching.Load() != 1 {
		t.Errorf("KeepWatching: got %v with %d slots and %d watches in use, want none and 1", err, p.count.Active.Load(), p.count.Watching.Load())
	}
	close(event)
	if arrived, err := r.Arrived(time.Minute); !arrived || err != nil {
		t.Errorf("Arrived with the event: got %t, %v; want true, none", arrived, err)
	}
	if arrived, err := r.Arrived(time.Nanosecond); !arrived || err != nil {
		t.Errorf("Arrived again: got %t, %v; want true, none", arrived, err)
	}
	r.EndWatch()
	if body, err := io.ReadAll(r); string(body) != "event" || err != nil {
		t.Errorf("the event: got %q, %v", body, err)
	}
	r.Close()
	if p.count.Active.Load() != 0 || p.count.Watching.Load() != 0 {
		t.Errorf("after the event: got %d slots and %d watches in use, want none", p.count.Active.Load(), p.count.Watching.Load())
	}
}

func TestAWatchFromAnOldIndexBeyondTheLimitKeepsNothing(t *testing.T) {
	s := serve(t, func(c *session) {
		c.request()
		c.say(watchHead)
		c.request()
	})
	p := newPool(t, Options{MaxWatches: 1}, s.endpoint())
	running, err := p.Do(context.Background(), &Request{Method: "GET", Target: "/", Watch: true})
	if err != nil {
		t.Fatal(err)
	}
	r := past(t, p)
	if err := r.KeepWatching(); kindOf(t, err) != Busy {
		t.Errorf("KeepWatching beyond the limit: got %v, want the kind %v", err, Busy)
	}
	r.Close()
	running.Close()
	if p.count.Active.Load() != 0 || p.count.Watching.Load() != 0 {
		t.Errorf("after both: got %d slots and %d watches in use, want none", p.count.Active.Load(), p.count.Watching.Load())
	}
}

func TestAWatchFromAnOldIndexThatIsCutIsBroken(t *testing.T) {
	s := serve(t, func(c *session) {
		c.request()
		c.say(watchHead)
	})
	p := newPool(t, Options{}, s.endpoint())
	r := past(t, p)
	defer r.Close()
	if arrived, err := r.Arrived(time.Minute); arrived || kindOf(t, err) != Broken || !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("Arrived of a watch that is cut: got %t, %v; want the kind %v", arrived, err, Broken)
	}
	ctx, cancel := context.WithCancel(context.Background())
	waiting := serve(t, func(c *session) {
		c.request()
		c.say(watchHead)
		cancel()
		c.request()
	})
	q := newPool(t, Options{}, waiting.endpoint())
	left, err := q.Do(ctx, &Request{Method: "GET", Target: "/", Watch: true, Past: true})
	if err != nil {
		if kindOf(t, err) != Canceled {
			t.Errorf("a watch whose client leaves: got %v, want the kind %v", err, Canceled)
		}
		return
	}
	defer left.Close()
	if arrived, err := left.Arrived(time.Minute); arrived || kindOf(t, err) != Canceled {
		t.Errorf("Arrived of a watch whose client leaves: got %t, %v; want the kind %v", arrived, err, Canceled)
	}
}

func TestAReadThatTimesOutIsNotSentAgain(t *testing.T) {
	var requests atomic.Int64
	s := serve(t, func(c *session) {
		for {
			if _, more := c.request(); !more {
				return
			}
			if requests.Add(1) > 1 {
				c.request() // until the proxy gives up
				return
			}
			c.say(ok)
		}
	})
	p := newPool(t, Options{HeaderTimeout: 100 * time.Millisecond}, s.endpoint())
	exchange(t, p, "GET")
	if _, kind := exchange(t, p, "GET"); kind != Timeout || requests.Load() != 2 || p.count.Retries.Load() != 0 {
		t.Errorf("a read on a pooled connection that is not answered: got kind %d after %d requests and %d retries, want %d after 2 and none", kind, requests.Load(), p.count.Retries.Load(), Timeout)
	}
}

func TestAClosedPoolKeepsNoConnection(t *testing.T) {
	s := serve(t, always)
	p := newPool(t, Options{}, s.endpoint())
	r := get(t, p)
	p.Close()
	_, _ = io.ReadAll(r)
	r.Close()
	if n := p.count.Idle.Load(); n != 0 || len(p.endpoints[0].idle) != 0 {
		t.Errorf("after a closed pool's last request: got %d idle connections, want none", n)
	}
}

func TestTheOnlyEndpointIsNeverAvoided(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	at, err := ParseEndpoint("http://" + ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	ln.Close()
	p := newPool(t, Options{}, at)
	for range 2 {
		if _, kind := exchange(t, p, "GET"); kind != Unreachable {
			t.Errorf("an endpoint at which nothing listens: got kind %d, want %d", kind, Unreachable)
		}
	}
	if p.States()[0].Avoided {
		t.Error("the only endpoint: got it avoided, want it used again at once")
	}
}

// memberOf answers probes as a member of a cluster, and counts them.
func memberOf(t *testing.T, id, leader string, probes *atomic.Int64) *server {
	t.Helper()
	return serve(t, func(c *session) {
		for {
			r, more := c.request()
			if !more {
				return
			}
			body := map[string]string{
				"/v2/stats/self":     fmt.Sprintf(`{"id":%q,"name":"n%s"}`, id, id),
				"/version":           `{"etcdserver":"3.5.0"}`,
				"/v2/members/leader": fmt.Sprintf(`{"id":%q,"name":"n%s"}`, leader, leader),
			}[r.URL.Path]
			if r.URL.Path == "/v2/stats/self" {
				probes.Add(1)
			}
			c.say(fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(body), body))
		}
	})
}

func TestTheStatusOfEachMember(t *testing.T) {
	var probes atomic.Int64
	leader, follower, alone := memberOf(t, "1", "1", &probes), memberOf(t, "2", "1", &probes), memberOf(t, "3", "", &probes)
	p := newPool(t, Options{}, leader.endpoint(), follower.endpoint(), alone.endpoint())
	var prober Prober
	c := prober.Status(p)
	if c.Leader != (Member{"1", "n1"}) {
		t.Errorf("the leader: got %+v, want member 1", c.Leader)
	}
	for i, m := range c.Members {
		id := fmt.Sprint(i + 1)
		if !m.Answered || m.Member != (Member{id, "n" + id}) || m.Version != "3.5.0" || m.Leads != (i == 0) || m.Duration <= 0 || m.Checked.IsZero() || (m.Err != nil) != (i == 2) || m.FailingSince.IsZero() != (i != 2) {
			t.Errorf("member %s: got %+v, want it to have answered, to lead: %t, and to fail: %t", id, m, i == 0, i == 2)
		}
	}
	if prober.Status(p); probes.Load() != 3 {
		t.Errorf("asking twice: got %d probes, want one of each member", probes.Load())
	}
	other := newPool(t, Options{}, leader.endpoint())
	if c := prober.Status(other); len(c.Members) != 1 || probes.Load() != 4 {
		t.Errorf("asking about another pool: got %d members after %d probes, want 1 after 4", len(c.Members), probes.Load())
	}
	prober.checked = prober.checked.Add(-probeInterval - time.Second)
	if prober.Status(other); probes.Load() != 5 {
		t.Errorf("asking after the interval: got %d probes, want 5", probes.Load())
	}
}

func TestAnAnswerOfDNSNamesItsServer(t *testing.T) {
	for _, c := range []struct {
		configured string
		err        error
		want       string
	}{
		{"192.0.2.1:53", &net.DNSError{Err: "no such host", Server: "192.0.2.9:53"}, "no such host, says 192.0.2.1:53"},
		{"", &net.DNSError{Err: "no such host", Server: "192.0.2.9:53"}, "no such host, says 192.0.2.9:53"},
		{"", &net.DNSError{Err: "no such host"}, "no such host"},
		{"192.0.2.1:53", errors.New("other"), "other"},
	} {
		if got := (&Resolver{server: c.configured}).answer(c.err); got != c.want {
			t.Errorf("the answer %v of a resolver with the server %q: got %q, want %q", c.err, c.configured, got, c.want)
		}
	}
}

// Bytes of one answer must not be read as the beginning of the next.
func TestAConnectionIsUsedAgainOnlyBehindACompleteMessage(t *testing.T) {
	const (
		chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nvalue"
		length  = "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nvalue"
	)
	for answer, reused := range map[string]bool{
		chunked + "\r\n0\r\n\r\n": true, chunked + "\r\n0\r\n\rX": false, chunked + "\r\n1\r\nx": false, chunked + "\r\n0\r\n": false, chunked: false,
		length: false, length + "0\r\n\r\n": false, // what would end another one is a part of the body
	} {
		s := serve(t, func(c *session) {
			for {
				if _, more := c.request(); !more {
					return
				}
				c.say(answer)
			}
		})
		p := newPool(t, Options{}, s.endpoint())
		r := get(t, p)
		if _, err := io.ReadFull(r, make([]byte, 5)); err != nil {
			t.Fatal(err)
		}
		r.Close()
		if got := p.count.Idle.Load() == 1; got != reused {
			t.Errorf("a connection of which the first five bytes were read, with the answer %q: got kept %t, want %t", answer, got, reused)
		}
	}
}

func TestAnEndpointKnownToBeDownIsTriedAfterAllOthers(t *testing.T) {
	idle := func(c *session) { c.request() }
	first, second := serve(t, idle), serve(t, idle)
	p := newPool(t, Options{}, first.endpoint(), second.endpoint())
	for _, down := range []int{0, 1} {
		p.endpoints[down].down.Store(true)
		c, err := p.connect(t.Context(), nil, true)
		if err != nil {
			t.Fatal(err)
		}
		if c.at != p.endpoints[1-down] {
			t.Errorf("with endpoint %d down: got a connection to it, want one to the other", down)
		}
		_ = c.Close()
		p.endpoints[down].down.Store(false)
	}
}

func TestABufferOfMoreThan256KiBIsNotKept(t *testing.T) {
	for _, c := range []struct {
		size int
		kept bool
	}{{256 << 10, true}, {256<<10 + 1, false}} {
		b := &Buffered{Bytes: make([]byte, c.size), budget: &Budget{}}
		b.Free()
		if kept := b.Bytes != nil; kept != c.kept {
			t.Errorf("after %d bytes: got a buffer kept %t, want %t", c.size, kept, c.kept)
		}
	}
}

func TestAMemberThatFailsLeadsNothing(t *testing.T) {
	s := serve(t, func(c *session) {
		for _, body := range []string{`{"id": "1", "name": "a"}`, `{"etcdserver": "3.4.0"}`} {
			if _, more := c.request(); !more {
				return
			}
			c.say(fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(body), body))
		}
		c.request()
		c.say("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{\"id\": \"1\"}")
	})
	p := newPool(t, Options{}, s.endpoint())
	status, leader := p.probeMember(t.Context(), p.endpoints[0])
	if !status.Answered || status.Member.ID != "1" || status.Version != "3.4.0" {
		t.Errorf("the member: got %+v, want what it said about itself", status)
	}
	if status.Err == nil || kindOf(t, status.Err) != Broken || status.Leads || leader != (Member{}) {
		t.Errorf("with its last answer cut: got error %v, leads %t and leader %+v, want an error alone", status.Err, status.Leads, leader)
	}
}

func TestAProbeThatFailsNamesNoLeader(t *testing.T) {
	s := serve(t, func(c *session) { c.request() })
	failed := errors.New("no answer")
	p := newPool(t, Options{Probe: func(context.Context, Endpoint) (Probed, error) { return Probed{}, failed }}, s.endpoint())
	if status, leader := p.probeMember(t.Context(), p.endpoints[0]); !errors.Is(status.Err, failed) || status.Leads || leader != (Member{}) {
		t.Errorf("got %+v and leader %+v, want the error alone", status, leader)
	}
}

func TestAMemberThatIsProbedInAnotherWayHasAnswered(t *testing.T) {
	s := serve(t, func(c *session) { c.request() })
	own := Probed{Member: Member{"1", "a"}, Leader: Member{"2", "b"}, Version: "3.6.0"}
	p := newPool(t, Options{Probe: func(context.Context, Endpoint) (Probed, error) { return own, nil }}, s.endpoint())
	status, leader := p.probeMember(t.Context(), p.endpoints[0])
	if !status.Answered || status.Duration <= 0 || status.Member != own.Member || status.Version != own.Version || status.Leads || status.Err != nil || leader != own.Leader {
		t.Errorf("got %+v and leader %+v, want what the probe said", status, leader)
	}
	own.Leader = Member{}
	if status, _ := p.probeMember(t.Context(), p.endpoints[0]); !status.Answered || !errors.Is(status.Err, errNoLeader) {
		t.Errorf("a member without a leader: got %+v, want it to have answered and the error %v", status, errNoLeader)
	}
}

package upstream

import (
	"context"
	"io"
	"slices"
	"sync"
	"testing"
	"time"
)

// measured collects the durations that a pool reports.
type measured struct {
	mu     sync.Mutex
	reads  []time.Duration
	writes []time.Duration
}

func (m *measured) counters() *Counters {
	return &Counters{ObserveAnswer: func(write bool, d time.Duration) {
		m.mu.Lock()
		defer m.mu.Unlock()
		if write {
			m.writes = append(m.writes, d)
		} else {
			m.reads = append(m.reads, d)
		}
	}}
}

// expect compares the number of durations, and returns all of them.
func (m *measured) expect(t *testing.T, after string, reads, writes int) []time.Duration {
	t.Helper()
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.reads) != reads || len(m.writes) != writes {
		t.Errorf("after %s: got the durations of %d reads and %d writes, want %d and %d", after, len(m.reads), len(m.writes), reads, writes)
	}
	return slices.Concat(m.reads, m.writes)
}

func TestEachRequestToEtcdIsMeasuredOnce(t *testing.T) {
	var m measured
	p := newPool(t, Options{Counters: m.counters()}, serve(t, always).endpoint())
	exchange(t, p, "GET")
	m.expect(t, "a read", 1, 0)
	for _, method := range []string{"PUT", "POST", "DELETE"} {
		exchange(t, p, method)
	}
	m.expect(t, "three writes", 1, 3)
	exchangeWith(t, context.Background(), p, &Request{Method: "GET", Target: "/v2/keys/a", Watch: true})
	m.expect(t, "a watch", 1, 3)
	var prober Prober
	prober.Status(p)
	m.expect(t, "a probe", 1, 3)
}

func TestTheDurationIsThatOfEtcd(t *testing.T) {
	var m measured
	var asked, answered time.Time
	s := serve(t, func(c *session) {
		for {
			if _, more := c.request(); !more {
				return
			}
			asked = time.Now()
			c.say("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\no")
			<-time.After(20 * time.Millisecond) // etcd is slow
			answered = time.Now()
			c.say("k")
		}
	})
	p := newPool(t, Options{Counters: m.counters()}, s.endpoint())
	for i := range 2 { // the second request uses the connection again, later
		before := time.Now()
		exchange(t, p, "GET")
		after := time.Now()
		d := m.expect(t, "a read", i+1, 0)[i]
		if d < answered.Sub(asked) || d > after.Sub(before) {
			t.Errorf("read %d: got the duration %v, want at least that of etcd, %v, and at most that of the whole exchange, %v", i, d, answered.Sub(asked), after.Sub(before))
		}
	}
}

func TestTheTimeOfAClientIsNotThatOfEtcd(t *testing.T) {
	var m measured
	p := newPool(t, Options{Counters: m.counters()}, serve(t, always).endpoint())
	r, err := p.Do(context.Background(), &Request{Method: "GET", Target: "/v2/keys/a"})
	if err != nil {
		t.Fatal(err)
	}
	m.expect(t, "the head of an answer", 0, 0)
	r.Answered() // the rest is sent at the pace of a client
	m.expect(t, "the answer began to be sent", 1, 0)
	_, _ = io.Copy(io.Discard, r)
	r.Close()
	m.expect(t, "the end of the answer", 1, 0)
}

func TestARequestThatEtcdDidNotAnswerIsMeasuredToo(t *testing.T) {
	var m measured
	s := serve(t, func(c *session) {
		if c.number > 1 {
			always(c)
			return
		}
		c.request()
		c.say(ok)
		c.request() // and close the connection without an answer
	})
	p := newPool(t, Options{Counters: m.counters()}, s.endpoint())
	exchange(t, p, "PUT")
	exchange(t, p, "PUT")
	m.expect(t, "a write that was lost", 0, 2)

	silent := serve(t, func(c *session) { c.request(); c.request() })
	p = newPool(t, Options{Counters: m.counters(), HeaderTimeout: 50 * time.Millisecond}, silent.endpoint())
	exchange(t, p, "GET")
	if d := m.expect(t, "a read without an answer in time", 1, 2)[0]; d < 40*time.Millisecond {
		t.Errorf("a read that was given up: got the duration %v, want the timeout, 50ms", d)
	}
}

func TestAReadThatIsSentAgainIsMeasuredOnce(t *testing.T) {
	var m measured
	s := serve(t, func(c *session) {
		if c.number > 1 {
			always(c)
			return
		}
		c.request()
		c.say(ok)
		c.request() // and close the connection without an answer
	})
	p := newPool(t, Options{Counters: m.counters()}, s.endpoint())
	exchange(t, p, "GET")
	exchange(t, p, "GET")
	if p.count.Retries.Load() != 1 {
		t.Fatalf("after a closed connection: got %d retries, want 1", p.count.Retries.Load())
	}
	m.expect(t, "two reads, the second of which was sent again", 2, 0)
}

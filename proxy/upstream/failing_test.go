package upstream

import (
	"fmt"
	"net"
	"testing"
	"time"
)

// member answers like a member that leads.
func member(c *session) {
	for {
		r, more := c.request()
		if !more {
			return
		}
		body := map[string]string{"/v2/stats/self": `{"id":"1","name":"a"}`, "/version": `{"etcdserver":"3.4.23"}`, "/v2/members/leader": `{"id":"1","name":"a"}`}[r.URL.Path]
		c.say(fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(body), body))
	}
}

func TestAMemberIsFailingSinceTheFirstRequestOrProbeThatFailed(t *testing.T) {
	first, second := serve(t, member), serve(t, member)
	p := newPool(t, Options{}, first.endpoint(), second.endpoint())
	var prober Prober
	since := func() [2]time.Time {
		prober.checked = time.Time{}
		members := prober.Status(p).Members
		return [2]time.Time{members[0].FailingSince, members[1].FailingSince}
	}
	if got := since(); got != [2]time.Time{} {
		t.Errorf("two members that are up: got %v, want no times", got)
	}

	first.stop()
	before := time.Now()
	exchange(t, p, "GET") // goes to the second one
	after := time.Now()
	got := since()
	if got[0].Before(before) || got[0].After(after) || !got[1].IsZero() {
		t.Errorf("the first member is down, found by a request between %v and %v: got %v, want that time, and none for the second", before, after, got)
	}
	if again := since(); again != got {
		t.Errorf("the first member is still down: got %v, want %v as before", again, got)
	}

	// Another pool, as after a reload, has not seen the request.
	p = newPool(t, Options{}, first.endpoint(), second.endpoint())
	if again := since(); again != got {
		t.Errorf("with another pool: got %v, want %v as before", again, got)
	}
	ln, err := net.Listen("tcp", first.ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	restarted := serveOn(t, ln, member)
	if again := since(); again != [2]time.Time{} {
		t.Errorf("the first member is up again: got %v, want no times", again)
	}

	restarted.stop()
	second.stop()
	before = time.Now()
	if got := since(); got[0].Before(before) || got[1].Before(before) {
		t.Errorf("both members are down, found by probes after %v: got %v, want that time", before, got)
	}
}

func TestAMemberIsFailingSinceTheEarlierOfARequestAndAProbe(t *testing.T) {
	probed := time.Now().UTC()
	for name, c := range map[string]struct{ avoided, want time.Time }{
		"no request failed":               {time.Time{}, probed},
		"a request failed before a probe": {probed.Add(-time.Minute), probed.Add(-time.Minute)},
		"a request failed after a probe":  {probed.Add(time.Second), probed},
	} {
		p := Prober{members: []MemberStatus{{Checked: probed, Err: errNoLeader}}}
		p.noteFailing([]State{{AvoidedSince: c.avoided}})
		if got := p.members[0].FailingSince; !got.Equal(c.want) {
			t.Errorf("%s: got failing since %v, want %v", name, got, c.want)
		}
	}
}

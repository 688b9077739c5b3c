package v2v3

import (
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"

	"etcd-tlsproxy/proxy/account"
	"etcd-tlsproxy/proxy/v2store"
	"etcd-tlsproxy/proxy/v2v3/space"
	"etcd-tlsproxy/proxy/v2v3/turn"
)

// writeFor performs a write for a client, and returns whose writes there is room for if it is refused.
func (f *fixture) writeFor(client *Client, op *v2store.Operation) Room {
	f.Helper()
	a, err := f.DoFor(testContext(f.T), op, client)
	var failure *Error
	switch {
	case errors.As(err, &failure) && failure.Kind == NoRoom:
		return failure.Room
	case err != nil || a.Status >= 300:
		f.Fatalf("writing %s: got the status %d with %s, and the error %v", op.Key, a.Status, a.Body, err)
	}
	return space.ForAll
}

// fillTo has a client of v3 write until more than so many percent of the quota are in use.
func (f *fixture) fillTo(percent int64) {
	f.Helper()
	for {
		size, err := f.measure(testContext(f.T))
		if err != nil {
			f.Fatal(err)
		}
		if size.InUse*100 > percent*size.Quota {
			return
		}
		f.fill()
	}
}

// settled returns how full the store is when all writes are measured.
func (f *fixture) settled() (fill space.Fill) {
	f.Helper()
	eventually(f.T, "all is measured", func() bool {
		size, err := f.measure(testContext(f.T))
		if err != nil {
			f.Fatal(err)
		}
		fill = f.space.Fill(time.Now())
		return fill.Used == size.InUse
	})
	return fill
}

// TestWhoFillsTheStoreIsRefusedBeforeOthers has a client that writes large values as fast as it can. The last 1,000
// events are kept, so that no compaction helps.
func TestWhoFillsTheStoreIsRefusedBeforeOthers(t *testing.T) {
	t.Parallel()
	f := startSmall(t, 64<<20)
	table := account.NewTable()
	var written account.Tally
	client := func(address string, known bool) *Client {
		a := table.Address(netip.MustParseAddr(address))
		t.Cleanup(a.Close)
		return &Client{Client: turn.Client{Account: a}, Known: known, Written: &written}
	}
	greedy, victim, open := client("192.0.2.1", true), client("198.51.100.1", true), client("203.0.113.1", false)
	large, small := parse(t, "PUT /large?value=1"), parse(t, "PUT /small?value=1")
	large.Value = strings.Repeat("x", 256<<10)
	writes := 0
	for f.settled().Used*100 < 50*64<<20 {
		for ; f.writeFor(greedy, large) == space.ForAll; writes++ {
			if got := f.writeFor(victim, small); got != space.ForAll {
				t.Fatalf("beside write %d of the other one: got room only for %d", writes, got)
			}
		}
	}
	f.settled()
	if got := f.Status(); writes < 100 || writes > 160 || got.Alarm != "none" || got.UsedBytes > 48<<20 {
		t.Errorf("refused after %d writes with the status %+v, want about a half of the quota", writes, got)
	}
	for n := range 200 {
		if got := f.writeFor(victim, small); got != space.ForAll {
			t.Fatalf("write %d of the victim: got room only for %d", n, got)
		}
		if got := f.writeFor(open, small); got != space.ForAll {
			t.Fatalf("write %d without a login: got room only for %d", n, got)
		}
	}
	// Its removals make the store smaller, and its small writes are refused as well.
	if got := f.writeFor(greedy, parse(t, "DELETE /large")); got != space.ForAll {
		t.Errorf("the greedy client removes something: got room only for %d, want that it is carried out", got)
	}
	eventually(t, "the greedy client may not write little either", func() bool { return f.writeFor(greedy, small) == ForModest })
	if got := written.Total(); got < 25<<20 || got > 42<<20 {
		t.Errorf("got %d bytes written, want about those that were carried out", got)
	}
	f.fillTo(66)
	if known, without := f.writeFor(victim, small), f.writeFor(open, small); known != space.ForAll || without != ForKnown {
		t.Errorf("above 65 %%: got room only for %d, and for %d without a login, want room for known clients", known, without)
	}
	f.fillTo(81)
	if got := f.writeFor(victim, small); got != ForNone {
		t.Errorf("above 80 %%: got room only for %d, want none", got)
	}
	if got := f.writeFor(open, parse(t, "DELETE /small?prevValue=1")); got != space.ForAll {
		t.Errorf("a removal above 80 %%: got room only for %d, want that it is carried out", got)
	}
	if got := f.Status().Alarm; got != "none" {
		t.Errorf("got the alarm %q, want none", got)
	}
}

// TestAWriteThatFailsIsNotCounted has writes that are refused because of their conditions.
func TestAWriteThatFailsIsNotCounted(t *testing.T) {
	t.Parallel()
	f := start(t)
	table := account.NewTable()
	a := table.Address(netip.MustParseAddr("192.0.2.1"))
	defer a.Close()
	var written account.Tally
	client := &Client{Client: turn.Client{Account: a}, Written: &written}
	for _, c := range []struct {
		request string
		want    int64
	}{{"PUT /a?prevExist=true&value=12345", 0}, {"DELETE /a", 0}, {"PUT /a?value=12345", 259}, {"PUT /a?prevExist=false&value=1", 0}, {"DELETE /a", 254}} {
		before := written.Total()
		if _, err := f.DoFor(testContext(t), parse(t, c.request), client); err != nil {
			t.Fatal(err)
		}
		if got := written.Total() - before; got != c.want {
			t.Errorf("%s: got %d bytes, want %d", c.request, got, c.want)
		}
	}
}

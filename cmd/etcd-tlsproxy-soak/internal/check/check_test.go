package check

import (
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"etcd-tlsproxy/cmd/etcd-tlsproxy-soak/internal/transport"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// keys is a content of etcd: values by key.
type keys map[string]string

func (k keys) Values(string) (map[string]string, error) { return k, nil }
func (k keys) Everything() (map[string]string, error)   { return k, nil }

// wantMismatches checks that the mismatches are as many as the texts, and contain them in
// this order.
func wantMismatches(t *testing.T, f *Findings, want ...string) {
	t.Helper()
	got := f.Totals().Mismatches
	if len(got) != len(want) {
		t.Errorf("got %d mismatches, want %d: %q", len(got), len(want), got)
		return
	}
	for i, text := range want {
		if !strings.Contains(got[i], text) {
			t.Errorf("mismatch %d: got %q, want it to contain %q", i, got[i], text)
		}
	}
}

func TestLostDoubledAndGhostPostsAreFound(t *testing.T) {
	for name, c := range map[string]struct {
		fate  Fate
		found keys
		want  []string
	}{
		"acknowledged":             {Once, keys{"/f/1": "v"}, nil},
		"lost":                     {Once, nil, []string{"does not exist"}},
		"under another key":        {Once, keys{"/f/2": "v"}, []string{"was acknowledged as /f/1, but exists as /f/2"}},
		"doubled":                  {Once, keys{"/f/1": "v", "/f/2": "v"}, []string{"exists as [/f/1 /f/2]"}},
		"unknown, not carried out": {Maybe, nil, nil},
		"unknown, carried out":     {Maybe, keys{"/f/9": "v"}, nil},
		"unknown, doubled":         {Maybe, keys{"/f/1": "v", "/f/2": "v"}, []string{"exists as"}},
		"not sent":                 {Never, nil, nil},
		"not sent, carried out":    {Never, keys{"/f/1": "v"}, []string{"never sent completely"}},
		"another value":            {Never, keys{"/f/1": "other"}, []string{"in a folder that was removed, or was never sent"}},
		"a late value":             {Never, keys{"/f/1": "late"}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			f := NewFindings(1)
			p := NewInOrderKeys(f, c.found)
			p.Record("/f", "v", c.fate, "/f/1")
			p.late["late"] = true
			if err := p.Check("test", "/f"); err != nil {
				t.Fatal(err)
			}
			wantMismatches(t, f, c.want...)
		})
	}
}

func TestLostAndDoubledSwapsAreFound(t *testing.T) {
	f, c := NewFindings(1), &Counters{}
	for k, acked := range []int64{5, 6, 4, 4, 3} {
		c.acked[k].Store(acked)
	}
	c.AddUnknown(3)
	c.AddUnknown(4)
	five := make(keys)
	for k := range c.acked {
		five[CounterKey(k)] = "5:x"
	}
	if err := c.Check(f, five); err != nil {
		t.Fatal(err)
	}
	wantMismatches(t, f, "k1 is 5 after 6", "k2 is 5 after 4", "k4 is 5 after 3 acknowledged swaps and 1")
	if got := f.Totals(); got.Lost != 1 || got.Doubled != 2 {
		t.Errorf("got %d lost and %d doubled, want 1 and 2", got.Lost, got.Doubled)
	}
}

func TestTracesOfWhatWasRefusedAreFound(t *testing.T) {
	f := NewFindings(1)
	if err := Refused(f, keys{"/v2/keys": "/soak/refused-1", "/v2/members": "[]", "/v2/auth/users": "[refused]"}); err != nil {
		t.Fatal(err)
	}
	wantMismatches(t, f, "a trace of a refused request", "a trace of a refused request")
}

func TestWhatAWatcherMissesIsFound(t *testing.T) {
	const key = "/soak/watched/p0/k"
	// Each case is what the writer (ack, unknown) and the watcher (receive), which starts
	// at event 10, report.
	type reports struct {
		ack     func(index uint64, value string)
		unknown func(value string)
		receive func(index uint64, value string)
	}
	for name, c := range map[string]struct {
		do   func(reports)
		want []string
	}{
		"nothing missed": {func(r reports) {
			r.ack(9, "before")
			r.ack(10, "a")
			r.receive(10, "a")
			r.receive(12, "b")
			r.ack(12, "b")
			r.unknown("c")
			r.receive(13, "c")
		}, nil},
		"missed after the acknowledgement": {func(r reports) {
			r.ack(10, "a")
			r.ack(11, "b")
			r.receive(11, "b")
		}, []string{"missed event 10"}},
		"missed before the acknowledgement": {func(r reports) {
			r.receive(11, "b")
			r.ack(10, "a")
			r.ack(11, "b")
		}, []string{"missed event 10"}},
		"received twice": {func(r reports) {
			r.ack(10, "a")
			r.receive(10, "a")
			r.receive(10, "a")
		}, []string{"got event 10"}},
		"another value": {func(r reports) {
			r.ack(10, "a")
			r.receive(10, "other")
		}, []string{"was reported as"}},
		"never written": {func(r reports) { r.receive(10, "a") }, []string{"was never written"}},
	} {
		t.Run(name, func(t *testing.T) {
			f := NewFindings(1)
			h := NewHistory("/soak/watched/p0", f)
			w := h.NewWatcher("watcher")
			h.Restart(w, 10)
			c.do(reports{
				ack:     func(index uint64, value string) { h.Acknowledge("writer", index, key, SetText(key, value)) },
				unknown: func(value string) { h.AddUnknown(SetText(key, value)) },
				receive: func(index uint64, value string) { h.Receive(w, index, key, SetText(key, value)) },
			})
			h.Close()
			wantMismatches(t, f, c.want...)
		})
	}
}

func TestAReadThatLacksAnEventIsFound(t *testing.T) {
	const key = "/soak/watched/p0/k"
	found := func(value string, index uint64) []*transport.Node {
		return []*transport.Node{{Key: key, Value: value, ModifiedIndex: index}}
	}
	const lacks = "lacks /soak/watched/p0/k, which event 10 set"
	// Event 10 sets the key to a, and the read is of index 20.
	for name, c := range map[string]struct {
		deleted uint64
		nodes   []*transport.Node
		want    []string
	}{
		"found":              {0, found("a", 10), nil},
		"absent":             {0, nil, []string{lacks}},
		"deleted before":     {12, nil, nil},
		"deleted afterwards": {30, nil, []string{lacks}},
		"an older event":     {0, found("old", 5), []string{"shows event 5"}},
		"another value":      {0, found("b", 10), []string{"was reported as"}},
	} {
		t.Run(name, func(t *testing.T) {
			f := NewFindings(1)
			h := NewHistory("/soak/watched/p0", f)
			h.AddUnknown(SetText(key, "old"))
			h.Acknowledge("writer", 10, key, SetText(key, "a"))
			h.Read(&Watcher{who: "reader"}, 20, c.nodes)
			if c.deleted > 0 {
				h.Acknowledge("writer", c.deleted, key, DeleteText(key))
			}
			h.Close()
			wantMismatches(t, f, c.want...)
		})
	}
}

func TestAnOutageExcusesWhatOverlapsIt(t *testing.T) {
	o := &Outages{}
	before := time.Now()
	o.Start()
	o.End()
	after := time.Now()
	for name, c := range map[string]struct {
		from, to time.Time
		want     bool
	}{
		"around it": {before, after, true},
		"before it": {before.Add(-time.Second), before, false},
		"after it":  {after, after.Add(time.Second), false},
	} {
		if got := o.Overlap(c.from, c.to); got != c.want {
			t.Errorf("a request %s: got excused=%t, want %t", name, got, c.want)
		}
	}
}

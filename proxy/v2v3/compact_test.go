package v2v3

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"etcd-tlsproxy/proxy/v2v3/rpc"
)

// TestCompactionKeepsTheLastEvents compacts a store that is too full, and one that is not.
func TestCompactionKeepsTheLastEvents(t *testing.T) {
	t.Parallel()
	f := start(t)
	for i := range 1200 {
		f.do(fmt.Sprintf("PUT /a/%d?value=%d", i%7, i))
	}
	before := f.events()
	tooFull := f.options
	tooFull.QuotaBytes = 1
	s := open(t, tooFull)
	if err := s.compact(testContext(t), time.Now()); err != nil {
		t.Fatal(err)
	}
	log, err := f.at(testContext(t), f.keys.Log(), s.compaction.revision)
	if err != nil || log.Version != before-1000 {
		t.Errorf("compacted up to the event %v, %v, want %d", log, err, before-1000)
	}
	sameTree(t, f.Store, open(t, f.options)) // the histories included
}

func TestAStoreThatGrowsFastIsCheckedAtOnce(t *testing.T) {
	t.Parallel()
	var c compaction
	began := time.Now()
	for _, step := range []struct {
		in    time.Duration
		inUse int64
		want  bool
	}{
		{0, 0, true}, {time.Second, 250, false}, {2 * time.Second, 251, true}, // more than a quarter
		{3 * time.Second, 313, false}, {4 * time.Second, 314, true}, // and a sixteenth more
		{5 * time.Second, 100, false}, {6 * time.Second, 240, false}, {7 * time.Second, 260, true}, // after a compaction
		{26 * time.Second, 265, false}, {27 * time.Second, 100, true}, {28 * time.Second, 110, false},
	} {
		if got := c.due(rpc.Size{InUse: step.inUse, Quota: 1000}, began.Add(step.in)); got != step.want {
			t.Errorf("%d of 1000 bytes after %s: got %t, want %t", step.inUse, step.in, got, step.want)
		}
	}
}

func TestCompactionKeepsWhatIsYoung(t *testing.T) {
	t.Parallel()
	f := start(t, func(o *Options) { o.QuotaBytes = 1 << 40 })
	f.compaction.events, f.compaction.age = 10, time.Minute
	var forgotten int64 // the last revision before ten events; the key of a new keeper may be among these
	for i := range 100 {
		f.do(fmt.Sprintf("PUT /a?value=%d", i))
		if i == 89 {
			forgotten = f.logRevision()
		}
	}
	for _, test := range []struct {
		in   time.Duration
		want int64
	}{{0, 0}, {time.Minute + time.Second, forgotten}, {time.Minute + 2*time.Second, forgotten}} {
		f.compaction.compacted = time.Time{}
		if err := f.Store.compact(testContext(t), time.Now().Add(test.in)); err != nil {
			t.Fatal(err)
		}
		if got := f.compaction.revision; got != test.want {
			t.Errorf("after %s it is compacted up to the revision %d, want %d", test.in, got, test.want)
		}
	}
}

// TestAStoreThatIsWrittenWithoutEndStaysBelowItsQuota writes more than the quota, and compacts by size. The age of
// the history and the number of its events are no reason to compact.
func TestAStoreThatIsWrittenWithoutEndStaysBelowItsQuota(t *testing.T) {
	t.Parallel()
	f := startSmall(t, 32<<20)
	write := parse(t, "PUT /a?value=1")
	write.Value = strings.Repeat("x", 4<<10)
	largest := int64(0)
	for n := range 10000 {
		if a, err := f.Do(testContext(t), write); err != nil || a.Status >= 300 {
			t.Fatalf("write %d: got the status %d and the error %v", n, a.Status, err)
		}
		if n%1000 == 999 {
			if err := f.Store.compact(testContext(t), time.Now()); err != nil {
				t.Fatal(err)
			}
			f.settled() // what is written within a second may count twice, and the quota is small
			largest = max(largest, f.Status().FileBytes)
		}
	}
	got := f.Status()
	if got.Compacted == 0 || got.CompactedAt.IsZero() || largest > 32<<20 || got.Alarm != "none" {
		t.Errorf("after 40 MiB: got a file of up to %d bytes and the status %+v, want one below the quota, and no alarm", largest, got)
	}
}

// TestACompactionThatFailsIsTriedAgainSoon has an etcd that is away for one attempt.
func TestACompactionThatFailsIsTriedAgainSoon(t *testing.T) {
	t.Parallel()
	f := start(t)
	f.compaction.events, f.compaction.age = 10, 0
	for i := range 20 {
		f.do(fmt.Sprintf("PUT /a?value=%d", i))
	}
	f.link.Cut()
	if err := f.Store.compact(testContext(t), time.Now()); err == nil {
		t.Error("compacting while etcd is away: got no error")
	}
	f.link.Mend()
	began := time.Now()
	eventually(t, "the store is compacted when etcd is back", func() bool {
		return f.Store.compact(testContext(t), began) == nil && f.Status().Compacted > 0
	})
}

func TestAKeeperThatCannotCompactSaysSo(t *testing.T) {
	var log strings.Builder
	logger := slog.New(slog.NewTextHandler(&log, nil))
	var c compaction
	failing := func(keeper bool) time.Time {
		st := Status{Keeper: keeper}
		c.tell(&st)
		return st.NotCompactedSince
	}
	c.attempted(nil, logger)
	if !failing(true).IsZero() {
		t.Error("a compaction that has not failed is shown as failing")
	}
	c.attempted(errors.New("no leader"), logger)
	first := failing(true)
	c.attempted(errors.New("no leader"), logger)
	if first.IsZero() || !failing(true).Equal(first) || strings.Count(log.String(), "no leader") != 1 {
		t.Errorf("after two failures: got the times %v and %v and the log\n%s\nwant the time of the first, and one line", first, failing(true), log.String())
	}
	if !failing(false).IsZero() {
		t.Error("a proxy that is not the keeper is blamed for what the keeper does now")
	}
	c.attempted(nil, logger)
	if !failing(true).IsZero() {
		t.Error("a compaction that succeeds again is shown as failing")
	}
}

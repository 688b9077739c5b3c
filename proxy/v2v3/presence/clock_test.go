package presence

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// sleep lets the time of the bubble go by.
func sleep(d time.Duration) {
	time.Sleep(d) //nolint:forbidigo // the clock is the bubble's: nothing waits
}

// newClock returns a clock whose wall can be set apart from the time of the test.
func newClock(skew *time.Duration) *clock {
	c := &clock{now: func() time.Time { return time.Now().Add(*skew) }}
	c.begin()
	c.elected(7)
	return c
}

func TestAClockThatJumpsIsDoubted(t *testing.T) {
	for _, test := range []struct {
		jump time.Duration
		want string
	}{{0, ""}, {2 * time.Second, ""}, {-2 * time.Second, ""}, {2*time.Second + 1, "the clock has jumped by 2s"}, {-2*time.Second - 1, "the clock has jumped by -2s"},
		{time.Hour, "the clock has jumped by 1h0m0s"}} {
		synctest.Test(t, func(t *testing.T) {
			var skew time.Duration
			c := newClock(&skew)
			sleep(time.Minute)
			if got := c.doubt(nil, 0); got != "" {
				t.Errorf("without a jump: got the doubt %q", got)
			}
			skew = test.jump
			sleep(time.Minute)
			if got := c.doubt(nil, 0); got != test.want {
				t.Errorf("a jump by %s: got the doubt %q, want %q", test.jump, got, test.want)
			}
			if _, doubts := c.counts(); (doubts == 1) != (test.want != "") || doubts > 1 {
				t.Errorf("a jump by %s: %d doubts are counted", test.jump, doubts)
			}
			// A jump counts from the last check.
			sleep(time.Minute)
			if got := c.doubt(nil, 0); got != "" {
				t.Errorf("after a jump by %s: got the doubt %q", test.jump, got)
			}
		})
	}
}

func TestAClockThatIsDoubtedRests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var skew time.Duration
		c := newClock(&skew)
		if c.rests() || c.doubt(nil, 0) != "" || c.rests() {
			t.Error("a good clock rests")
		}
		skew = time.Hour
		if c.doubt(nil, 0) == "" || !c.rests() {
			t.Error("a clock that has jumped does not rest")
		}
		sleep(30*time.Second - 1)
		if !c.rests() {
			t.Error("the rest is shorter than 30 s")
		}
		sleep(1)
		if c.rests() {
			t.Error("the rest is longer than 30 s")
		}
	})
}

func TestAClockIsDoubtedIfMostOthersDiffer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, test := range []struct{ different, same int }{{0, 0}, {0, 1}, {1, 0}, {1, 1}, {2, 1}, {1, 2}, {2, 2}, {3, 2}} {
			var skew time.Duration
			c := newClock(&skew)
			for i := range test.different {
				c.observe(fmt.Sprint("different", i), time.Now().Add(time.Hour).UnixNano(), 8)
			}
			for i := range test.same {
				c.observe(fmt.Sprint("same", i), time.Now().UnixNano(), 8)
			}
			want := ""
			if test.different > test.same {
				want = fmt.Sprintf("the clocks of %d of %d other proxies differ by more than 2s", test.different, test.different+test.same)
			}
			if got := c.doubt(nil, 0); got != want {
				t.Errorf("%d differ and %d do not: got the doubt %q, want %q", test.different, test.same, got, want)
			}
			if got, _ := c.counts(); got != test.different {
				t.Errorf("%d are counted, want %d that differ", got, test.different)
			}
		}
	})
}

// TestAClockThatFewHaveDeniedWaitsForTheRest has one other whose clock differs, and some who have not answered.
func TestAClockThatFewHaveDeniedWaitsForTheRest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, test := range []struct {
			others       string
			after        time.Duration
			doubt, heard bool
		}{
			{"wrong", 0, true, true},
			{"wrong silent", 0, false, false},
			{"wrong silent", maxAnswer + 1, false, false},
			{"wrong silent", maxAnswers, false, false},
			{"wrong silent", maxAnswers + 1, true, true},
			{"wrong good", 0, false, true},
			{"wrong good silent", maxAnswer, false, false},
			{"wrong good silent", maxAnswer + 1, false, true},
			{"wrong false silent", 0, true, false},
		} {
			var skew time.Duration
			c := newClock(&skew)
			others := strings.Fields(test.others)
			for _, name := range others {
				switch name {
				case "wrong", "false":
					c.observe(name, time.Now().Add(time.Hour).UnixNano(), 8)
				case "good":
					c.observe(name, time.Now().UnixNano(), 8)
				}
			}
			if got := c.doubt(others, test.after) != ""; got != test.doubt {
				t.Errorf("the others %q after %s: the clock is doubted: %t, want %t", test.others, test.after, got, test.doubt)
			}
			if got := c.heard(others, test.after); got != test.heard {
				t.Errorf("the others %q after %s: enough were heard: %t, want %t", test.others, test.after, got, test.heard)
			}
		}
	})
}

// TestTheTimesOfOthersMayBeAsOldAsTheElection says that each time between the election and now is
// right, give or take what clocks may be apart.
func TestTheTimesOfOthersMayBeAsOldAsTheElection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		elected := time.Now()
		for after, want := range map[time.Duration]int{
			-2*time.Second - 1: 1, -2 * time.Second: 0, 0: 0, time.Minute: 0, time.Minute + 2*time.Second: 0, time.Minute + 2*time.Second + 1: 1,
		} {
			var skew time.Duration
			c := newClock(&skew)
			skew = time.Minute
			c.observe("other", elected.Add(after).UnixNano(), 8)
			if got, _ := c.counts(); got != want {
				t.Errorf("a time %s after the election: %d clocks differ, want %d", after, got, want)
			}
		}
	})
}

func TestWhatOthersSayCountsOnlyForOneElection(t *testing.T) {
	c := &clock{now: time.Now}
	c.observe("early", 0, 8)
	if different, _ := c.counts(); different != 0 {
		t.Errorf("before an election %d clocks differ, want none", different)
	}
	c.begin()
	c.elected(7)
	c.observe("a", 0, 8)
	c.observe("a", 0, 8)
	c.observe("b", time.Now().UnixNano(), 8)
	for others, want := range map[string]bool{"": true, "a": true, "a b": true, "c": false, "a c": false} {
		if got := c.heard(strings.Fields(others), 0); got != want {
			t.Errorf("the sessions %q were heard: %v, want %v", others, got, want)
		}
	}
	if different, _ := c.counts(); different != 1 {
		t.Errorf("%d clocks differ, want 1", different)
	}
	c.begin()
	c.elected(7)
	if different, _ := c.counts(); different != 0 || c.heard([]string{"a"}, 0) {
		t.Errorf("after the next election %d clocks differ, want that nobody was heard", different)
	}
}

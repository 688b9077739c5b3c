package observe

import (
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// newOutage returns an outage, and the lines that it has logged without their times.
func newOutage() (*Outage, func() []string) {
	var log memoryLog
	handler := slog.NewTextHandler(&log, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		switch a.Key {
		case slog.TimeKey:
			return slog.Attr{}
		case "since", "until":
			return slog.String(a.Key, a.Value.Time().UTC().Format(time.TimeOnly))
		}
		return a
	}})
	o := &Outage{Began: "away", Lasts: "still away", Ended: "back", Log: slog.New(handler)}
	return o, func() []string { return strings.Split(strings.TrimSpace(log.String()), "\n") }
}

func expectLines(t *testing.T, got []string, want ...string) {
	t.Helper()
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("the log: got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestAnOutageIsLoggedByItsChangesOfState(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o, lines := newOutage()
		o.Succeeded()
		for range 1715 { // for 12 s, and never at the moment of a check
			o.Failed("kind", "unreachable")
			time.Sleep(7 * time.Millisecond) //nolint:forbidigo // the clock is the bubble's: nothing waits
		}
		for range 100 {
			o.Succeeded()
			time.Sleep(100 * time.Millisecond) //nolint:forbidigo // the clock is the bubble's: nothing waits
		}
		got := lines()
		if len(got) != 3 || got[1] != `level=WARN msg="still away" failures=1429 for=10s kind=unreachable` {
			t.Fatalf("the log of 12 s without etcd: got\n%s\nwant 3 lines, the second with all failures of 10 s", strings.Join(got, "\n"))
		}
		expectLines(t, []string{got[0], got[2]}, "level=WARN msg=away kind=unreachable", "level=INFO msg=back since=00:00:00 until=00:00:12 after=12s failures=1715")
	})
}

func TestAnOutageTellsWhenItBeganAndWhenTheFirstRequestSucceeded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o, _ := newOutage()
		want := func(what string, failed, recovered time.Time) {
			t.Helper()
			if f, r := o.Since(); !f.Equal(failed) || !r.Equal(recovered) {
				t.Errorf("%s: got the failure %v and the success %v, want %v and %v", what, f, r, failed, recovered)
			}
		}
		o.Succeeded()
		want("before the outage", time.Time{}, time.Time{})
		began := time.Now()
		o.Failed()
		want("in the outage", began, time.Time{})
		time.Sleep(time.Second) //nolint:forbidigo // the clock is the bubble's: nothing waits
		recovered := time.Now()
		o.Succeeded()
		want("after a success", began, recovered)
		o.Failed()
		want("after another failure", began, time.Time{})
		o.Succeeded()
		time.Sleep(time.Minute) //nolint:forbidigo // the clock is the bubble's: nothing waits
		want("afterwards", time.Time{}, time.Time{})
	})
}

func TestAnEtcdThatAnswersNowAndThenIsOneOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o, lines := newOutage()
		for range 50 { // for 5 s
			o.Failed()
			o.Succeeded()
			time.Sleep(100 * time.Millisecond) //nolint:forbidigo // the clock is the bubble's: nothing waits
		}
		time.Sleep(time.Minute) //nolint:forbidigo // the clock is the bubble's: nothing waits
		expectLines(t, lines(), "level=WARN msg=away", "level=INFO msg=back since=00:00:00 until=00:00:04 after=4.9s failures=50")
	})
}

func TestASecondOutageIsANewOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o, lines := newOutage()
		for range 2 {
			o.Failed()
			time.Sleep(time.Second) //nolint:forbidigo // the clock is the bubble's: nothing waits
			o.Succeeded()
			time.Sleep(time.Minute) //nolint:forbidigo // the clock is the bubble's: nothing waits
		}
		expectLines(t, lines(), "level=WARN msg=away", "level=INFO msg=back since=00:00:00 until=00:00:01 after=1s failures=1",
			"level=WARN msg=away", "level=INFO msg=back since=00:01:01 until=00:01:02 after=1s failures=1")
	})
}

// probe lets probes succeed, one each second.
func probe(o *Outage, times int) {
	for range times {
		o.ProbeSucceeded()
		time.Sleep(time.Second) //nolint:forbidigo // the clock is the bubble's: nothing waits
	}
}

func TestAProbeThatFailsBeginsAnOutageAndIsNotCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o, lines := newOutage()
		o.ProbeSucceeded()
		began := time.Now()
		for range 6 { // half a minute
			o.ProbeFailed("found_by", "probe")
			time.Sleep(5 * time.Second) //nolint:forbidigo // the clock is the bubble's: nothing waits
		}
		if since, _ := o.Since(); !since.Equal(began) {
			t.Errorf("the outage: got the begin %v, want the first probe at %v", since, began)
		}
		probe(o, 4)
		expectLines(t, lines(), "level=WARN msg=away found_by=probe", "level=INFO msg=back since=00:00:00 until=00:00:30 after=30s failures=0")
	})
}

// TestTwoOutagesSixSecondsApartAreTwoWithoutRequests is about outages that last for 22 s each.
func TestTwoOutagesSixSecondsApartAreTwoWithoutRequests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o, lines := newOutage()
		for range 2 {
			for range 22 {
				o.ProbeFailed()
				time.Sleep(time.Second) //nolint:forbidigo // the clock is the bubble's: nothing waits
			}
			probe(o, 6)
		}
		expectLines(t, lines(), "level=WARN msg=away", "level=INFO msg=back since=00:00:00 until=00:00:22 after=22s failures=0",
			"level=WARN msg=away", "level=INFO msg=back since=00:00:28 until=00:00:50 after=22s failures=0")
	})
}

func TestOneProbeThatSucceedsEndsNoOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o, lines := newOutage()
		for range 3 {
			o.Failed()
			time.Sleep(time.Second) //nolint:forbidigo // the clock is the bubble's: nothing waits
			o.ProbeSucceeded()
			time.Sleep(5300 * time.Millisecond) //nolint:forbidigo // so that no failure is at the moment of a check
		}
		if since, recovered := o.Since(); since.IsZero() || recovered.IsZero() {
			t.Errorf("5.3 s after a probe: got an outage since %v that recovered at %v, want both times", since, recovered)
		}
		o.Succeeded()           // a request shows more
		time.Sleep(time.Minute) //nolint:forbidigo // the clock is the bubble's: nothing waits
		expectLines(t, lines(), "level=WARN msg=away", "level=WARN msg=\"still away\" failures=3 for=12.6s", "level=INFO msg=back since=00:00:00 until=00:00:13 after=13.6s failures=3")
	})
}

// TestALineSaysThatEtcdFailsOnlyWhileItDoes has an outage that ends just before the line about it
// is due.
func TestALineSaysThatEtcdFailsOnlyWhileItDoes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o, lines := newOutage()
		for range 85 {
			o.Failed()
			time.Sleep(100 * time.Millisecond) //nolint:forbidigo // the clock is the bubble's: nothing waits
		}
		o.Succeeded()
		time.Sleep(time.Minute) //nolint:forbidigo // the clock is the bubble's: nothing waits
		expectLines(t, lines(), "level=WARN msg=away", "level=INFO msg=back since=00:00:00 until=00:00:08 after=8.5s failures=85")
	})
}

func TestSuccessesOfRequestsEndTheSilenceAndThoseOfProbesDoNot(t *testing.T) {
	o, _ := newOutage()
	o.Listen()
	o.ProbeSucceeded()
	if !o.Silent() {
		t.Error("after the success of a probe: got no silence of requests, want it")
	}
	o.Succeeded()
	if o.Silent() {
		t.Error("after the success of a request: got silence, want none")
	}
	for _, want := range []bool{true, false} {
		if got := o.Listen(); got != want {
			t.Errorf("since the last call: got a success %t, want %t", got, want)
		}
	}
}

func TestAnOutageBeginsWithTheLastAnswerBeforeIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o, lines := newOutage()
		o.Watch()
		pass := func(seconds int) {
			time.Sleep(time.Duration(seconds) * time.Second) //nolint:forbidigo // the clock is the bubble's: nothing waits
		}
		pass(10)
		o.Listen()
		o.Succeeded()
		answered := time.Now()
		pass(6)
		for range 2 { // it stays so
			o.ProbeFailed()
			pass(4)
			o.Failed()
			if since, _ := o.Since(); !since.Equal(answered) || !o.Answered().Equal(answered) {
				t.Errorf("the outage: got the begin %v and the last answer %v, want %v for both", since, o.Answered(), answered)
			}
		}
		o.ProbeSucceeded()
		pass(1)
		o.ProbeFailed()
		if since, _ := o.Since(); !since.Equal(answered) {
			t.Errorf("after an answer that ended no outage: got the begin %v, want %v", since, answered)
		}
		o.Listen()
		o.Succeeded()
		recovered := time.Now()
		pass(60)
		o.Failed()
		if since, _ := o.Since(); !since.Equal(recovered) {
			t.Errorf("the next outage: got the begin %v, want the answer that ended the last one at %v", since, recovered)
		}
		if got, want := lines()[1], "level=INFO msg=back since=00:00:10 until=00:00:25 after=15s failures=2 first_failure="; !strings.HasPrefix(got, want) {
			t.Errorf("the end: got %q, want %q", got, want)
		}
	})
}

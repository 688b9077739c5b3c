package lane

import (
	"testing"
	"testing/synctest"
	"time"
)

func TestAClientThatSentMuchMayNotPauseLonger(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const timeout, rate = 30 * time.Second, 4096 // bytes in a second
		p := (&Limits{BodyTimeout: timeout}).NewPace()
		expect := func(what string, want time.Duration) {
			t.Helper()
			if got := time.Until(p.Begin()); got != want {
				t.Errorf("%s: got %v for the next bytes, want %v", what, got, want)
			}
		}
		wait := func(d time.Duration, n int) {
			p.Begin()
			time.Sleep(d) //nolint:forbidigo // the clock is the bubble's: nothing waits
			p.End(n)
		}
		expect("at the start", timeout)
		wait(time.Second, 100<<20)
		expect("after 100 MiB", timeout)
		wait(10*time.Second, 1)
		expect("after a byte in 10 s", 20*time.Second+time.Second/rate)
		wait(10*time.Second, 2*rate)
		expect("after two seconds' bytes in 10 s", 12*time.Second+time.Second/rate)
		time.Sleep(time.Hour) //nolint:forbidigo // the clock is the bubble's: nothing waits
		expect("after an hour in which nothing was to be transferred", 12*time.Second+time.Second/rate)
		for range 100 {
			wait(time.Second, rate)
		}
		expect("after bytes at the lowest rate", 12*time.Second+time.Second/rate)
		wait(13*time.Second, 0)
		if left := time.Until(p.Begin()); left >= 0 {
			t.Errorf("after a pause that is too long: got %v for the next bytes, want a deadline in the past", left)
		}
	})
}

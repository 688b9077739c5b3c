package fronttest

import (
	"testing"
	"time"
)

// Patience bounds waits that only keep a test from hanging. It is generous, because a
// machine that runs many tests at once may stall for seconds.
const Patience = time.Minute

// Eventually polls until reached returns true, and fails the test if that does not happen
// within [Patience]. It is for states that are not signaled to a client of the proxy.
func Eventually(t testing.TB, state string, reached func() bool) {
	t.Helper()
	limit := time.Now().Add(Patience)
	for !reached() {
		if time.Now().After(limit) {
			t.Fatalf("after %v this state is not reached: %s", Patience, state)
		}
		time.Sleep(2 * time.Millisecond)
	}
}

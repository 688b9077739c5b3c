package lane

import (
	"runtime"
	"testing"
)

// TestAConnectionLetsOthersRunAfterSomeRequests runs on one processor, on which a goroutine that
// does not wait keeps all others from running.
func TestAConnectionLetsOthersRunAfterSomeRequests(t *testing.T) {
	before := runtime.GOMAXPROCS(1)
	defer runtime.GOMAXPROCS(before)
	others := 0
	go func() {
		for ; others < 10; others++ {
			runtime.Gosched()
		}
	}()
	var run Run
	for range 10 * LongestRun {
		run.Served()
	}
	// Now and then Go chooses the one that has just let others run.
	if others < 5 {
		t.Errorf("after %d requests: another goroutine ran %d times, want about 10", 10*LongestRun, others)
	}
}

package lane

import (
	"runtime"
	"sync/atomic"
	"testing"
)

// TestAConnectionLetsOthersRunAfterSomeRequests runs on one processor, on which a goroutine that
// does not wait keeps all others from running.
func TestAConnectionLetsOthersRunAfterSomeRequests(t *testing.T) {
	before := runtime.GOMAXPROCS(1)
	defer runtime.GOMAXPROCS(before)
	var others atomic.Int64
	stop := make(chan struct{})
	defer close(stop)
	go func() {
		for {
			select {
			case <-stop:
				return
			default:
				others.Add(1)
				runtime.Gosched()
			}
		}
	}()
	var run Run
	for range 200 * LongestRun {
		run.Served()
	}
	// Now and then Go chooses the one that has just let others run.
	if got := others.Load(); got < 50 {
		t.Errorf("after %d requests: another goroutine ran %d times, want about 200", 200*LongestRun, got)
	}
}

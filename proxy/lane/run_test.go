package lane

import (
	"testing"

	"etcd-tlsproxy/proxy/proxytest"
)

// TestAConnectionLetsOthersRunAfterSomeRequests runs on one processor, on which a goroutine that
// does not wait keeps all others from running.
func TestAConnectionLetsOthersRunAfterSomeRequests(t *testing.T) {
	turns := proxytest.CountTurns(t)
	var run Run
	for range 200 * LongestRun {
		run.Served()
	}
	// Now and then Go chooses the one that has just let others run.
	if got := turns(); got < 50 {
		t.Errorf("after %d requests: another goroutine ran %d times, want about 200", 200*LongestRun, got)
	}
}

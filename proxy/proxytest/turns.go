package proxytest

import (
	"runtime"
	"sync/atomic"
	"testing"
)

// CountTurns leaves the test one processor, which a goroutine that does not wait keeps all others
// from, and returns a function that tells how many turns another goroutine has had.
func CountTurns(t *testing.T) func() int64 {
	before := runtime.GOMAXPROCS(1)
	var turns atomic.Int64
	stop := make(chan struct{})
	go func() {
		for {
			select {
			case <-stop:
				return
			default:
				turns.Add(1)
				runtime.Gosched()
			}
		}
	}()
	t.Cleanup(func() {
		close(stop)
		runtime.GOMAXPROCS(before)
	})
	return turns.Load
}

package share

import (
	"runtime"
	"sync"
	"testing"
	"time"
)

// meeting is a notifier that waits until all have begun that must run at the same time.
type meeting struct {
	t   *testing.T
	all *sync.WaitGroup // those that have not begun
}

func (m *meeting) Notify() {
	m.all.Done()
	met := make(chan struct{})
	go func() {
		m.all.Wait()
		close(met)
	}()
	select {
	case <-met:
	case <-time.After(waitTime):
		m.t.Errorf("after %v: some processors notify nobody, want watchers notified on all of them", waitTime)
	}
}

func (*meeting) AfterNotify() {}
func (*meeting) BreakOff()    {}

func TestManyWatchersAreNotifiedOnAllProcessors(t *testing.T) {
	const processors = 3
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(processors))
	watchers := make([]*Watcher, (processors-1)*partSize+1)
	for range 2 {
		var all sync.WaitGroup
		all.Add(processors)
		for i := range watchers {
			watchers[i] = &Watcher{notifier: &countingNotifier{}}
			if i%partSize == 0 { // the first of each part
				watchers[i].notifier = &meeting{t, &all}
			}
		}
		notifyAll(watchers)
	}
}

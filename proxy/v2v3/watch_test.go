package v2v3

import "testing"

// TestAWatchThatWasStoppedReceivesNothing lets two other watches show that there were events.
func TestAWatchThatWasStoppedReceivesNothing(t *testing.T) {
	t.Parallel()
	f := start(t)
	stopped, lost, stop := f.watch("GET /a?wait=true&stream=true")
	once, _, _ := f.watch("GET /a?wait=true")
	all, _, _ := f.watch("GET /a?wait=true&stream=true")
	f.do("PUT /a?value=1")
	for _, events := range []chan string{stopped, once, all} {
		next(t, events)
	}
	if got := f.Status().Watches; got != 2 {
		t.Errorf("%d watches are registered, want the two that go on", got)
	}
	stop()
	f.do("PUT /a?value=2")
	next(t, all)
	if len(stopped) > 0 || len(once) > 0 || len(lost) > 0 {
		t.Errorf("watches that have ended received %d, %d and %d more, want nothing", len(stopped), len(once), len(lost))
	}
	if got := f.Status().Watches; got != 1 {
		t.Errorf("%d watches are registered, want one", got)
	}
	stop() // a second time changes nothing
	f.breakOff("the test wants it")
	if len(lost) > 0 {
		t.Error("a watch that was stopped is lost")
	}
}

// TestAnOperationThatHasEndedWaitsForNoEvent has writes that are executed, refused, and in conflict.
func TestAnOperationThatHasEndedWaitsForNoEvent(t *testing.T) {
	t.Parallel()
	f := start(t)
	for _, request := range []string{"PUT /a?value=1", "PUT /a?prevValue=2&value=3", "PUT /a?prevExist=false&value=1", "DELETE /b"} {
		f.do(request)
	}
	p, _ := f.planned("PUT /a?prevValue=1&value=4")
	f.do("PUT /a?value=5")
	if _, err := f.commit(testContext(t), p); err == nil {
		t.Error("a write whose fact does not hold is executed")
	}
	if f.writes.Lock(); len(f.Store.waiting) != 0 {
		t.Errorf("%d writes wait for their events, want none", len(f.Store.waiting))
	}
	f.writes.Unlock()
}

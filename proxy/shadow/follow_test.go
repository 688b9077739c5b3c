package shadow

import (
	"fmt"
	"strings"
	"testing"

	"etcd-tlsproxy/proxy/v2v3/mirror"
)

func TestAnotherProxyGoesOnWithTheCopy(t *testing.T) {
	t.Parallel()
	f := start(t)
	f.follow()
	second := f.open()
	f.eventually("the second one is there", func() bool { return second.Status().Following })
	if second.Status().Appends {
		t.Fatal("both append")
	}
	f.reach(second, f.do(nil, "PUT /a?value=1").index)
	f.Close()
	for i := range 50 {
		f.do(nil, fmt.Sprintf("PUT /key%d?value=1", i))
	}
	f.Shadow = second
	last := f.write("PUT /a?value=2&prevValue=1")
	f.reach(second, last.index)
	f.do([]*Shadow{second}, "GET /?recursive=true")
	f.eventually("both answers are looked at", func() bool { return total(second.Status()) == 2 })
	if st := second.Status(); st.Differing() > 0 || st.ComparedReads != 1 || st.ComparedWrites != 1 {
		t.Errorf("got %+v, want both compared and no difference", st)
	}
}

func TestAShadowOutlivesItsStore(t *testing.T) {
	t.Parallel()
	f := start(t)
	f.follow()
	f.link.Cut()
	for i := range 20 {
		f.do([]*Shadow{f.Shadow}, fmt.Sprintf("PUT /key%d?value=1", i))
	}
	last := f.do([]*Shadow{f.Shadow}, "DELETE /key1")
	f.eventually("the events wait", func() bool { st := f.Status(); return st.Events > 0 && !st.Following })
	f.link.Mend()
	f.reach(f.Shadow, last.index)
	f.eventually("all answers are looked at", func() bool { return total(f.Status()) == 21 })
	if st := f.Status(); st.Differing() > 0 || !st.Following {
		t.Errorf("got %+v, want that it follows again without a difference", st)
	}
}

// TestEventsThatWaitAreAppendedTogether makes changes that depend on each other while the v3 store is away.
func TestEventsThatWaitAreAppendedTogether(t *testing.T) {
	t.Parallel()
	f := start(t)
	f.follow()
	f.do(nil, "PUT /dir/one?value=1")
	f.reach(f.Shadow, f.do(nil, "PUT /file?value=1").index)
	revision := func() (n int64) {
		f.store.View(func(m *mirror.Mirror) { n = m.LogRevision })
		return n
	}
	before := revision()
	f.link.Cut()
	requests := []string{
		"PUT /a?value=1", "PUT /a?value=2&prevValue=1", "DELETE /a?prevValue=2", "PUT /a?value=3&prevExist=false", "PUT /a?value=4&prevValue=3&ttl=100",
		"PUT /new/dir/b?value=1", "PUT /new/dir/c?value=1&prevExist=false", "PUT /new/_hidden/d?value=1", "POST /new/queue?value=1",
		"DELETE /dir?recursive=true", "PUT /dir?value=now-a-file", "PUT /dir?value=again&prevValue=now-a-file", "PUT /file?dir=true", "PUT /file/below?value=1",
		"PUT /a?value=5&prevValue=4",
	}
	for range 30 {
		requests = append(requests, "PUT /busy?value="+fmt.Sprint(len(requests)))
	}
	var last reply
	for _, request := range requests {
		if last = f.do([]*Shadow{f.Shadow}, request); last.status >= 300 {
			t.Fatalf("%s: got the status %d and %s", request, last.status, last.body)
		}
	}
	f.eventually("all events wait", func() bool { return f.Status().Events == len(requests) })
	f.link.Mend()
	f.reach(f.Shadow, last.index)
	f.do([]*Shadow{f.Shadow}, "GET /?recursive=true")
	f.eventually("all answers are looked at", func() bool { return total(f.Status()) == int64(len(requests)+1) })
	if st := f.Status(); st.Differing() > 0 || st.ComparedWrites != int64(len(requests)) || st.ComparedReads != 1 {
		t.Errorf("got %+v, want all of the %d writes compared and no difference", st, len(requests))
	}
	if took := revision() - before; took > 8 {
		t.Errorf("the %d events took %d transactions, want at most 8", len(requests), took)
	}
}

// TestAShadowCatchesUpWithWhatEtcdStillHas makes changes while there is no shadow, with gaps between their indexes.
func TestAShadowCatchesUpWithWhatEtcdStillHas(t *testing.T) {
	t.Parallel()
	f := start(t)
	f.follow()
	f.Close()
	for i := range 150 {
		f.do(nil, fmt.Sprintf("PUT /key%d?value=%d&ttl=1000", i%20, i))
		f.do(nil, fmt.Sprintf("PUT /_hidden%d?value=%d", i%20, i))
		for range i % 6 {
			f.do(nil, fmt.Sprintf("PUT /key%d?refresh=true&ttl=2000&prevExist=true", i%20))
		}
	}
	last := f.do(nil, "PUT /last?value=1")
	f.Shadow = f.open()
	f.reach(f.Shadow, last.index)
	f.do([]*Shadow{f.Shadow}, "GET /?recursive=true")
	f.do([]*Shadow{f.Shadow}, "GET /_hidden19")
	f.eventually("the reads are looked at", func() bool { return total(f.Status()) == 2 })
	f.write("PUT /last?value=2&prevValue=1")
	f.eventually("the write is looked at", func() bool { return total(f.Status()) == 3 })
	// The listing has files of which the shadow cannot know that they were refreshed.
	if st := f.Status(); st.Lost || st.Differing() > 0 || st.ComparedReads != 1 || st.ComparedWrites != 1 || st.Skipped[Refresh] != 1 {
		t.Errorf("got %+v, want no difference", st)
	}
}

// TestAKeyInTooManyNewDirectoriesLosesTheShadow makes a change that the v3 store cannot make.
func TestAKeyInTooManyNewDirectoriesLosesTheShadow(t *testing.T) {
	t.Parallel()
	f := start(t)
	f.follow()
	f.do(nil, "PUT "+strings.Repeat("/d", 150)+"?value=1")
	f.eventually("the shadow is lost", func() bool { return f.Status().Lost })
	if reason := f.Status().Reason; !strings.Contains(reason, "does not fit in a transaction") {
		t.Errorf("got the reason %q, want that the event does not fit", reason)
	}
}

// TestAShadowIsLostIfEtcdHasForgottenItsEvents lets more events happen than etcd keeps, while there is no shadow.
func TestAShadowIsLostIfEtcdHasForgottenItsEvents(t *testing.T) {
	t.Parallel()
	f := start(t)
	f.follow()
	f.Close()
	for i := range 1100 {
		f.do(nil, fmt.Sprintf("PUT /key%d?value=1", i%10))
	}
	f.Shadow = f.open()
	f.eventually("the shadow is lost", func() bool { return f.Status().Lost })
	if reason := f.Status().Reason; !strings.Contains(reason, "has forgotten the events from the index") {
		t.Errorf("got the reason %q, want which events are forgotten", reason)
	}
	f.do([]*Shadow{f.Shadow}, "GET /key1")
	f.eventually("the answer is skipped", func() bool { return f.Status().Skipped[Behind] == 1 })
}

// TestAShadowFollowsAgainWithoutAWrite takes the v2 API away for a moment, and writes nothing afterwards.
func TestAShadowFollowsAgainWithoutAWrite(t *testing.T) {
	t.Parallel()
	f := start(t)
	f.follow()
	f.v2.Cut()
	f.eventually("the events cannot be read", func() bool { return strings.Contains(f.Status().Reason, "cannot be read") })
	f.v2.Mend()
	f.eventually("the shadow follows", func() bool { return f.Status().Following })
}

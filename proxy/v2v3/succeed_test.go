package v2v3

import (
	"errors"
	"strings"
	"testing"
	"time"
)

// TestAStoreShowsNothingOlderThanTheOneBefore has a store that a reload has put into use, while its events
// are late, and writes through the one before.
func TestAStoreShowsNothingOlderThanTheOneBefore(t *testing.T) {
	t.Parallel()
	f := start(t)
	f.do("PUT /a?value=1")
	before := open(t, f.options)
	f.Succeed(before)
	before.mu.Lock()
	before.reason = "the tree is being loaded again"
	before.mu.Unlock()
	f.do("GET /a")
	before.mu.Lock()
	before.reason = ""
	before.mu.Unlock()
	f.link.Pause()
	acknowledged := do(t, before, "PUT /a?value=2")
	read := make(chan string, 1)
	go func() {
		a, err := f.Do(t.Context(), parse(t, "GET /a"))
		if err != nil {
			read <- err.Error()
			return
		}
		read <- string(a.Body)
	}()
	time.AfterFunc(maxCatchUp/4, f.link.Resume)
	if got := <-read; !strings.Contains(got, `"value":"2"`) {
		t.Errorf("got %s, want the value that was acknowledged as %s", got, acknowledged)
	}
	f.away()
	do(t, before, "PUT /a?value=3")
	var refused *Error
	if a, err := f.Do(testContext(t), parse(t, "GET /a")); !errors.As(err, &refused) || refused.Kind != NotServed {
		t.Errorf("a store that cannot catch up: got %s, %v; want that it is not served", a.Body, err)
	}
	if _, head, err := f.Watch(parse(t, "GET /a?wait=true"), func(*Event) {}, func(error) {}); !errors.As(err, &refused) || refused.Kind != NotServed {
		t.Errorf("a watch at a store that cannot catch up: got %+v, %v; want that it is not served", head, err)
	}
	before.Close()
	if got := f.do("GET /a"); !strings.Contains(got, `"value":"2"`) {
		t.Errorf("after the end of the one before: got %s, want the value that the store has", got)
	}
}

package v2v3

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
)

// TestATreeThatDoesNotFitIsNotLoaded fills a tree, and opens stores with room for some of it, for it alone,
// and for more than it twice.
func TestATreeThatDoesNotFitIsNotLoaded(t *testing.T) {
	t.Parallel()
	f := start(t)
	for i := range 30 {
		op := parse(t, fmt.Sprintf("PUT /d/k%d?value=1", i))
		op.Value = strings.Repeat("x", 10_000)
		if a, err := f.Do(testContext(t), op); err != nil || a.Status != 201 {
			t.Fatalf("got the answer %d and the error %v", a.Status, err)
		}
	}
	const warning = "more than half of limits.memory"
	for _, test := range []struct {
		room           int64 // half of the memory
		loaded, warned bool
	}{{50_000, false, false}, {200_000, true, true}, {400_000, true, false}, {0, true, false}} {
		o := f.options
		var logged lines
		o.Log, o.MaxBytes = slog.New(slog.NewTextHandler(&logged, nil)), test.room
		s, err := Open(o)
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		eventually(t, "the tree is loaded or refused", func() bool {
			return s.Status().Serving || logged.count("the tree needs more memory than limits.memory of 100000 bytes") > 0
		})
		_, err = s.Do(testContext(t), parse(t, "GET /d/k1"))
		var e *Error
		if refused := errors.As(err, &e) && e.Kind == NotServed && strings.Contains(e.Reason, "limits.memory"); refused == test.loaded || (err == nil) != test.loaded {
			t.Errorf("room for %d bytes: got the error %v, want that the tree is loaded: %v", test.room, err, test.loaded)
		}
		if test.loaded {
			if _, err := s.audit(testContext(t)); err != nil {
				t.Fatal(err)
			}
		}
		want := 0
		if test.warned {
			want = 2 // by the load and by the audit
		}
		if got := logged.count(warning); got != want {
			t.Errorf("room for %d bytes: got %d warnings, want %d", test.room, got, want)
		}
	}
}

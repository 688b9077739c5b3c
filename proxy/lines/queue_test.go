package lines

import (
	"errors"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// gate is a writer that hangs until it is told how many bytes to take.
type gate struct {
	text strings.Builder
	take chan int
}

var errFull = errors.New("full")

func (g *gate) Write(p []byte) (int, error) {
	n := min(<-g.take, len(p))
	g.text.Write(p[:n])
	if n < len(p) {
		return n, errFull
	}
	return n, nil
}

// report is what a queue has reported.
type report struct {
	lost   int
	err    error
	writes int
}

func (r *report) options() Options {
	return Options{Notice: func() []byte { return nil }, Written: func(lost int, err error) {
		r.lost += lost
		r.err = err
		r.writes++
	}}
}

func add(t *testing.T, q *Queue, all ...string) {
	t.Helper()
	for _, line := range all {
		if err := q.Add([]byte(line)); err != nil {
			t.Fatalf("adding %q: %v", line, err)
		}
	}
}

func TestLinesAreWrittenInTheirOrderWhileNobodyWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, r := &gate{take: make(chan int)}, &report{}
		q := New(g, r.options())
		q.Start()
		add(t, q, "one\n")
		synctest.Wait() // the first write hangs
		add(t, q, "two\n", "three\n")
		if since := q.Stuck(); !since.IsZero() {
			t.Errorf("a write that has begun: got that it lasts too long since %v", since)
		}
		time.Sleep(StuckAfter) //nolint:forbidigo // the clock is the bubble's: nothing waits
		if q.Stuck().IsZero() {
			t.Error("a write that lasts for a second: got that it does not last too long")
		}
		g.take <- 100
		g.take <- 100
		q.Close(time.Second)
		if got, want := g.text.String(), "one\ntwo\nthree\n"; got != want || r.writes != 2 || r.lost != 0 || r.err != nil {
			t.Errorf("got %q and %+v, want %q by two writes and no loss", got, r, want)
		}
		if err := q.Add([]byte("four\n")); !errors.Is(err, ErrFull) {
			t.Errorf("adding to a closed queue: got %v, want %v", err, ErrFull)
		}
	})
}

func TestALineThatWasCutOffIsLostAndSwallowsNoOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, r := &gate{take: make(chan int)}, &report{}
		q := New(g, r.options())
		add(t, q, "one\n", "two\n", "three\n")
		q.Start()
		g.take <- 6
		synctest.Wait()
		if r.lost != 2 || !errors.Is(r.err, errFull) {
			t.Errorf("after the disk was full within the second of three lines: got %+v, want 2 lost", r)
		}
		add(t, q, "four\n")
		g.take <- 100
		q.Close(time.Second)
		if got, want := g.text.String(), "one\ntw\nfour\n"; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	})
}

func TestAFlushWaitsForWhatWasAddedBeforeAndNotForEver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, r := &gate{take: make(chan int)}, &report{}
		q := New(g, r.options())
		q.Start()
		q.Flush(time.Hour) // nothing was added
		add(t, q, "one\n")
		synctest.Wait()
		add(t, q, "two\n")
		before := time.Now()
		if q.Flush(time.Minute); time.Since(before) != time.Minute {
			t.Errorf("flushing a queue that hangs: got a wait of %v, want a minute", time.Since(before))
		}
		flushed := make(chan string)
		go func() {
			q.Flush(time.Hour)
			flushed <- g.text.String()
		}()
		synctest.Wait()
		g.take <- 100
		g.take <- 100
		if got, want := <-flushed, "one\ntwo\n"; got != want {
			t.Errorf("what was written after a flush: got %q, want %q", got, want)
		}
		q.Close(time.Second)
	})
}

func TestAFullQueueRefusesLinesAndACloseGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, r := &gate{take: make(chan int)}, &report{}
		q := New(g, r.options())
		q.Start()
		add(t, q, "one\n")
		synctest.Wait()
		line := strings.Repeat("x", maxBytes/4-1) + "\n"
		add(t, q, line, line, line, line)
		if err := q.Add([]byte("\n")); !errors.Is(err, ErrFull) {
			t.Errorf("adding to a full queue: got %v, want %v", err, ErrFull)
		}
		before := time.Now()
		q.Close(time.Minute)
		if waited := time.Since(before); waited != time.Minute || r.lost != 4 || !errors.Is(r.err, ErrStuck) {
			t.Errorf("closing a queue that hangs: got %+v after %v, want 4 lines lost after a minute", r, waited)
		}
		g.take <- 100
	})
}

func TestANoticeIsWrittenBeforeLinesAndWithoutThem(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var text strings.Builder
		r := &report{}
		o := r.options()
		o.Torn, o.Notice = true, func() []byte { return []byte("notice\n") }
		q := New(io.Writer(&text), o)
		q.Start()
		q.Try()
		synctest.Wait()
		add(t, q, "one\n")
		q.Close(time.Second)
		if got, want := text.String(), "\nnotice\nnotice\none\n"; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	})
}

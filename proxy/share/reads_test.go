package share

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"etcd-tlsproxy/proxy/account"
	"etcd-tlsproxy/proxy/bulk"
	"etcd-tlsproxy/proxy/proxytest"
	"etcd-tlsproxy/proxy/upstream"
)

func TestMain(m *testing.M) {
	proxytest.WaitTogether()
	goleak.VerifyTestMain(m)
}

// newReads returns reads from a server that the test controls.
func newReads(t testing.TB, handle http.HandlerFunc) (*Reads, *atomic.Uint64) {
	t.Helper()
	s := httptest.NewServer(handle)
	t.Cleanup(s.Close)
	at, err := upstream.ParseEndpoint(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	pool, err := upstream.New(upstream.Options{Endpoints: []upstream.Endpoint{at}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	saved := &atomic.Uint64{}
	r := NewReads(pool, saved)
	changes := make(chan struct{}, 1)
	r.changed = func() {
		select {
		case changes <- struct{}{}:
		default:
		}
	}
	signals.Store(r, changes)
	t.Cleanup(func() {
		// A canceled request ends without the test.
		r.waitUntil(t, func() bool { return r.countFlights() == 0 }, func() string {
			return fmt.Sprintf("got %d flights in the end, want 0", r.countFlights())
		})
		if held := r.pool.Counters().Shared.Held(); held != 0 {
			t.Errorf("got %d bytes held in the end, want 0", held)
		}
	})
	return r, saved
}

// signals has a channel for each of the tests' Reads, which receives after a change.
var signals sync.Map

// waitUntil waits until a condition holds, which it checks after each change.
func (r *Reads) waitUntil(t testing.TB, holds func() bool, failure func() string) {
	t.Helper()
	changes, _ := signals.Load(r)
	timeout := time.After(10 * time.Second)
	for !holds() {
		select {
		case <-changes.(chan struct{}):
		case <-timeout:
			t.Fatal(failure())
		}
	}
}

func (r *Reads) countFlights() (n int) {
	for i := range r.shards {
		s := &r.shards[i]
		s.mu.Lock()
		n += len(s.flights)
		s.mu.Unlock()
	}
	return n
}

// read does what a lane does, and returns the body.
func read(ctx context.Context, r *Reads, target string) (string, error) {
	path, query, _ := strings.Cut(target, "?")
	turn, answer, err := r.Join(ctx, path, query, &bulk.Claim{}, nil)
	if err != nil {
		return "", err
	}
	if answer != nil {
		defer answer.Release()
		return string(answer.Body), nil
	}
	defer turn.Done()
	resp, err := r.pool.Do(ctx, &upstream.Request{Method: "GET", Target: target})
	if err != nil {
		return "", err
	}
	defer resp.Close()
	body, err := io.ReadAll(resp)
	return string(body), err
}

// waiting returns the number of readers that wait for the next batch of a target.
func (r *Reads) waiting(target string) int {
	for i := range r.shards {
		s := &r.shards[i]
		s.mu.Lock()
		for _, l := range s.flights {
			if string(l.target) == target && l.next != nil {
				defer s.mu.Unlock()
				return l.next.readers
			}
		}
		s.mu.Unlock()
	}
	return 0
}

func (r *Reads) waitForReaders(t testing.TB, target string, want int) {
	t.Helper()
	r.waitUntil(t, func() bool { return r.waiting(target) == want }, func() string {
		return fmt.Sprintf("readers that wait for the next batch of %s: got %d, want %d", target, r.waiting(target), want)
	})
}

// gated counts requests and answers each one when the test sends to answer.
type gated struct {
	received chan int
	answer   chan struct{}
	counter  atomic.Int64
}

func newGated() *gated { return &gated{received: make(chan int, 100), answer: make(chan struct{})} }

func (g *gated) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	n := int(g.counter.Add(1))
	g.received <- n
	select {
	case <-g.answer:
	case <-r.Context().Done():
		return
	}
	w.Header().Set("X-Etcd-Index", strconv.Itoa(n))
	_, _ = io.WriteString(w, strconv.Itoa(n))
}

func TestWhoComesLateGetsTheNextAnswerNeverTheOneUnderWay(t *testing.T) {
	g := newGated()
	r, saved := newReads(t, g.ServeHTTP)
	bodies := make(chan string, 100)
	start := func(n int) {
		for range n {
			go func() {
				body, err := read(context.Background(), r, "/a")
				if err != nil {
					t.Error(err)
				}
				bodies <- body
			}()
		}
	}
	start(1)
	<-g.received
	start(10)
	r.waitForReaders(t, "/a", 10)
	g.answer <- struct{}{}
	if body := <-bodies; body != "1" {
		t.Errorf("the first reader: got answer %s, want 1", body)
	}
	<-g.received
	start(5) // while the second is under way
	r.waitForReaders(t, "/a", 5)
	g.answer <- struct{}{}
	for range 10 {
		if body := <-bodies; body != "2" {
			t.Errorf("one of the ten readers that arrived during request 1: got answer %s, want 2", body)
		}
	}
	<-g.received
	g.answer <- struct{}{}
	for range 5 {
		if body := <-bodies; body != "3" {
			t.Errorf("one of the five readers that arrived during request 2: got answer %s, want 3", body)
		}
	}
	if n := g.counter.Load(); n != 3 || saved.Load() != 9+4 {
		t.Errorf("16 reads: got %d requests and %d saved, want 3 and 13", n, saved.Load())
	}
}

func TestOtherTargetsDoNotWait(t *testing.T) {
	g := newGated()
	r, _ := newReads(t, g.ServeHTTP)
	var all sync.WaitGroup
	for _, target := range []string{"/a", "/b", "/a?x"} {
		all.Go(func() {
			if _, err := read(context.Background(), r, target); err != nil {
				t.Error(err)
			}
		})
	}
	for range 3 {
		<-g.received // all three at once
	}
	close(g.answer)
	all.Wait()
}

func TestOneThatLeavesDoesNotDisturbTheOthersAndTheLastOneCancels(t *testing.T) {
	g := newGated()
	r, _ := newReads(t, g.ServeHTTP)
	results := make(chan error, 10)
	ctx, leave := context.WithCancel(context.Background())
	join := func(ctx context.Context) {
		go func() {
			_, err := read(ctx, r, "/a")
			results <- err
		}()
	}
	canceled := func(err error) bool {
		var failed *upstream.Error
		return errors.As(err, &failed) && failed.Kind == upstream.Canceled
	}
	join(context.Background())
	<-g.received
	join(ctx)
	join(context.Background())
	r.waitForReaders(t, "/a", 2)
	leave()
	if err := <-results; !canceled(err) {
		t.Errorf("the reader that left: got error %v, want Canceled", err)
	}
	g.answer <- struct{}{}
	<-g.received
	g.answer <- struct{}{}
	for range 2 {
		if err := <-results; err != nil {
			t.Errorf("a reader that stayed: got error %v, want none", err)
		}
	}
	// Now all readers of a batch leave after it was sent.
	join(context.Background())
	<-g.received
	ctx, leave = context.WithCancel(context.Background())
	join(ctx)
	join(ctx)
	r.waitForReaders(t, "/a", 2)
	g.answer <- struct{}{}
	if err := <-results; err != nil {
		t.Errorf("the reader before the batch: got error %v, want none", err)
	}
	<-g.received
	leave() // the server's handler ends when the request is canceled
	for range 2 {
		if err := <-results; !canceled(err) {
			t.Errorf("a reader of the batch that all readers left: got error %v, want Canceled", err)
		}
	}
}

func TestAFailureIsEveryonesFailure(t *testing.T) {
	g := newGated()
	r, _ := newReads(t, func(w http.ResponseWriter, req *http.Request) {
		if n := g.counter.Add(1); n == 2 {
			panic(http.ErrAbortHandler)
		}
		g.received <- 1
		<-g.answer
	})
	results := make(chan error, 10)
	join := func() {
		go func() {
			_, err := read(context.Background(), r, "/a")
			results <- err
		}()
	}
	join()
	<-g.received
	for range 3 {
		join()
	}
	r.waitForReaders(t, "/a", 3)
	close(g.answer)
	failures := 0
	for range 4 {
		if err := <-results; err != nil {
			failures++
		}
	}
	// The pool sends a read once more if its pooled connection is lost; if not, all
	// three fail alike.
	if failures != 0 && failures != 3 {
		t.Errorf("3 readers of a batch whose request fails: got %d failures, want 0 or 3", failures)
	}
}

func TestALargeAnswerIsNotShared(t *testing.T) {
	t.Parallel()
	large := strings.Repeat("x", upstream.MaxBuffered+1)
	g := newGated()
	r, saved := newReads(t, func(w http.ResponseWriter, _ *http.Request) {
		if g.counter.Add(1) == 1 {
			g.received <- 1
			<-g.answer
		}
		_, _ = io.WriteString(w, large)
	})
	var all sync.WaitGroup
	join := func() {
		all.Go(func() {
			if body, err := read(context.Background(), r, "/a"); err != nil || len(body) != len(large) {
				t.Errorf("reading a large answer: got %d bytes, %v, want %d, nil", len(body), err, len(large))
			}
		})
	}
	join()
	<-g.received
	join()
	join()
	r.waitForReaders(t, "/a", 2)
	close(g.answer)
	all.Wait()
	if saved.Load() != 0 || g.counter.Load() != 4 {
		t.Errorf("3 reads of a large answer: got %d saved and %d requests, want 0 and 4", saved.Load(), g.counter.Load())
	}
}

// TestABatchOfAnAnswerThatIsKnownToBeTooLargeIsNotSent lets the first request for a target show
// that its answer is too large to be shared, while others wait.
func TestABatchOfAnAnswerThatIsKnownToBeTooLargeIsNotSent(t *testing.T) {
	g := newGated()
	r, _ := newReads(t, g.ServeHTTP)
	table := account.NewTable()
	limits := bulk.NewLimits(table.NewPool(account.Options{Name: "bytes", Total: 1000}), table.NewPool(account.Options{Name: "trees", Total: 2}), nil)
	client := table.Address(netip.MustParseAddr("192.0.2.1"))
	first := limits.Read(client, "/a", true)
	lead, _, err := r.Join(t.Context(), "/a", "recursive=true", &first, nil)
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	for range 2 {
		all.Go(func() {
			claim := limits.Read(client, "/a", true)
			other, answer, err := r.Join(t.Context(), "/a", "recursive=true", &claim, nil)
			if answer != nil || err != nil || other.flight != nil {
				t.Errorf("a reader of a large answer: got %v, %v, want to send its own request", answer, err)
			}
		})
	}
	r.waitForReaders(t, "/a?recursive=true", 2)
	first.Began(upstream.MaxBuffered+1, true)
	lead.Done()
	all.Wait()
	if n := g.counter.Load(); n != 0 {
		t.Errorf("readers of an answer that is too large to be shared: got %d requests to etcd on their behalf, want 0", n)
	}
	client.Close()
	if n := table.Len(); n != 0 {
		t.Errorf("after the reads: got %d accounts in use, want 0", n)
	}
}

// TestABatchIsChargedToItsFirstReader lets a reader of a large answer leave before the answer
// has come.
func TestABatchIsChargedToItsFirstReader(t *testing.T) {
	g := newGated()
	r, _ := newReads(t, g.ServeHTTP)
	table := account.NewTable()
	bytes := table.NewPool(account.Options{Name: "bytes", Total: 100})
	limits := bulk.NewLimits(bytes, table.NewPool(account.Options{Name: "trees", Total: 2}), nil)
	client := table.Address(netip.MustParseAddr("192.0.2.1"))
	learned := limits.Read(client, "/a", false)
	learned.Began(10*bulk.Unit, true)
	lead, _, err := r.Join(t.Context(), "/a", "", &learned, nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var reader sync.WaitGroup
	reader.Go(func() {
		claim := limits.Read(client, "/a", false)
		if _, answer, err := r.Join(ctx, "/a", "", &claim, nil); answer != nil || err == nil {
			t.Errorf("a reader that leaves: got %v, %v, want an error", answer, err)
		}
	})
	r.waitForReaders(t, "/a", 1)
	lead.Done()
	<-g.received
	if used := bytes.Used(); used != 10 {
		t.Errorf("a batch for an answer of 10 units: got %d units in use, want 10", used)
	}
	client.Close() // its last other use
	cancel()
	reader.Wait()
	close(g.answer)
	r.waitUntil(t, func() bool { return bytes.Used() == 0 && table.Len() == 0 }, func() string {
		return fmt.Sprintf("after the batch: got %d units and %d accounts in use, want none", bytes.Used(), table.Len())
	})
}

// TestEveryAnswerIsComputedAfterItWasAskedFor reads three targets concurrently: the time in
// each answer must not be earlier than its read.
func TestEveryAnswerIsComputedAfterItWasAskedFor(t *testing.T) {
	var clock atomic.Int64
	r, saved := newReads(t, func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, strconv.FormatInt(clock.Load(), 10)+" "+strings.Repeat("x", 3000))
	})
	var all sync.WaitGroup
	for i := range 32 {
		all.Go(func() {
			target := "/" + strconv.Itoa(i%3)
			for range 300 {
				ctx := context.Background()
				if i%7 == 0 {
					var cancel context.CancelFunc
					ctx, cancel = context.WithTimeout(ctx, time.Millisecond)
					defer cancel()
				}
				asked := clock.Add(1)
				body, err := read(ctx, r, target)
				if err != nil {
					if i%7 != 0 {
						t.Error(err)
					}
					continue
				}
				answered, rest, _ := strings.Cut(body, " ")
				if n, err := strconv.ParseInt(answered, 10, 64); err != nil || n < asked || len(rest) != 3000 {
					t.Errorf("a read at time %d: got an answer of time %s with %d more bytes, %v, want that time or a later one and 3000", asked, answered, len(rest), err)
				}
			}
		})
	}
	all.Wait()
	if saved.Load() == 0 {
		t.Error("9600 concurrent reads of three targets: got none saved, want some")
	}
}

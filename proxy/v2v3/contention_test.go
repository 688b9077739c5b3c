package v2v3

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"etcd-tlsproxy/proxy/v2store"
	"etcd-tlsproxy/proxy/v2v3/turn"
)

// contend has many clients write at the same time, each through one of the stores.
func contend(t *testing.T, stores []*Store, request string) (answers map[string]int) {
	t.Helper()
	const clients, writes = 60, 5
	var mu sync.Mutex
	var running sync.WaitGroup
	answers = map[string]int{}
	for i := range clients {
		running.Go(func() {
			for range writes {
				a, err := stores[i%len(stores)].Do(t.Context(), parse(t, request))
				if err != nil || a.Status > 201 {
					t.Errorf("%s: got the status %d and the error %v", request, a.Status, err)
					return
				}
				mu.Lock()
				answers[string(a.Body)]++
				mu.Unlock()
			}
		})
	}
	running.Wait()
	if len(answers) != clients*writes {
		t.Errorf("%s: got %d different answers, want %d", request, len(answers), clients*writes)
	}
	return answers
}

// TestWritesOfTheSameDoNotConflictWithinAProxy has many clients that write to one queue, and change one file.
// Each of their writes would make all others fail at etcd.
func TestWritesOfTheSameDoNotConflictWithinAProxy(t *testing.T) {
	t.Parallel()
	f := start(t)
	f.do("PUT /n?value=0")
	before := f.events()
	for _, request := range []string{"POST /q?value=1", "PUT /n?value=1&prevExist=true", "PUT /n?prevValue=1&value=1"} {
		contend(t, []*Store{f.Store}, request)
		if got := f.conflicts.Load(); got != 0 {
			t.Errorf("%s: got %d conflicts, want none", request, got)
		}
	}
	if got := f.events() - before; got != 3*300 {
		t.Errorf("got %d events, want one of each write", got)
	}
	if n := f.turns.Waiting("/q") + f.turns.Waiting("/n"); n != 0 {
		t.Errorf("%d writes wait for their turn when all are done", n)
	}
}

// TestWritesOfTheSameThroughSeveralProxiesAreAllCarriedOut is the same with proxies that know nothing of each
// other's turns.
func TestWritesOfTheSameThroughSeveralProxiesAreAllCarriedOut(t *testing.T) {
	t.Parallel()
	f := start(t)
	stores := []*Store{f.Store, open(t, f.options), open(t, f.options)}
	f.do("PUT /n?value=0")
	for _, s := range stores {
		if err := s.barrier.wait(testContext(t)); err != nil {
			t.Fatal(err)
		}
	}
	before := f.events()
	contend(t, stores, "POST /q?value=1")
	contend(t, stores, "PUT /n?value=1&prevExist=true")
	sameTree(t, f.Store, stores[1])
	sameTree(t, f.Store, stores[2])
	if got := f.events() - before; got != 2*300 {
		t.Errorf("got %d events, want one of each write", got)
	}
}

// TestOnlyWritesOfTheSameWait holds the turn of a queue and of a file.
func TestOnlyWritesOfTheSameWait(t *testing.T) {
	t.Parallel()
	f := start(t)
	f.do("PUT /q/n?value=0")
	for _, key := range []string{"/q", "/q/n"} {
		if !f.turns.TryTake(key) {
			t.Fatalf("the turn of %s is taken although nobody writes", key)
		}
	}
	late := make(chan string, 2)
	for _, request := range []string{"POST /q?value=1", "PUT /q/n?prevValue=5&value=6"} {
		op := parse(t, request)
		go func() {
			a, err := f.Do(context.Background(), op)
			late <- fmt.Sprint(a.Status, err)
		}()
	}
	for _, request := range []string{"PUT /q/n?value=5", "PUT /q/m?value=1", "PUT /q/m?prevValue=1&value=2", "POST /r?value=1", "DELETE /q/m", "PUT /q/n?prevExist=false&value=1"} {
		if got := f.do(request); strings.HasPrefix(got, "5") {
			t.Errorf("%s: got %s, want that it waits for nobody", request, got)
		}
	}
	eventually(t, "the POST waits", func() bool { return f.turns.Waiting("/q") == 1 })
	if len(late) > 0 && f.turns.Waiting("/q/n") == 1 {
		t.Error("a write was carried out without its turn")
	}
	f.turns.Pass("/q")
	f.turns.Pass("/q/n")
	for range 2 {
		if got := next(t, late); !strings.HasSuffix(got, "<nil>") {
			t.Errorf("a write that had its turn: got %s, want an answer", got)
		}
	}
}

func TestAWriteWithoutItsTurnIsNotExecuted(t *testing.T) {
	t.Parallel()
	f := start(t, func(o *Options) { o.Timeout = minAttempt / 5 })
	f.turns.TryTake("/q")
	_, err := f.Do(testContext(t), parse(t, "POST /q?value=1"))
	var failure *Error
	if !errors.As(err, &failure) || failure.Kind != Busy {
		t.Errorf("got the error %v, want that there was no turn", err)
	}
	if got := f.do("GET /q?quorum=true"); !strings.HasPrefix(got, "404 ") {
		t.Errorf("got %s, want no queue", got)
	}
	f.turns.Pass("/q")
	if !f.turns.TryTake("/q") {
		t.Error("the turn is still taken")
	}
}

// TestAWriteWhoseTurnComesLateIsNotSent has a turn that leaves no time to find out what became of a write.
func TestAWriteWhoseTurnComesLateIsNotSent(t *testing.T) {
	t.Parallel()
	f := start(t)
	f.turns.TryTake("/q")
	ctx, cancel := context.WithTimeout(t.Context(), minAttempt)
	defer cancel()
	client := &Client{Client: turn.Client{Wait: func(ctx context.Context, wait func(context.Context) error) error {
		f.turns.Pass("/q")
		return wait(ctx)
	}}}
	_, err := f.DoFor(ctx, &v2store.Operation{Action: v2store.Create, Key: "/q", InOrder: true, Value: "1"}, client)
	var failure *Error
	if !errors.As(err, &failure) || failure.Kind != Busy {
		t.Errorf("got the error %v, want that there was no turn", err)
	}
	if got := f.do("GET /q?quorum=true"); !strings.HasPrefix(got, "404 ") {
		t.Errorf("got %s, want no queue", got)
	}
	if !f.turns.TryTake("/q") {
		t.Error("the turn is still taken")
	}
}

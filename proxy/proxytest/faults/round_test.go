package faults

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"etcd-tlsproxy/proxy/proxytest/exact"
	"etcd-tlsproxy/proxy/proxytest/fronttest"
	"etcd-tlsproxy/proxy/v2store"
)

// round is one fault, what clients did meanwhile below a directory of its own, and what they were told.
type round struct {
	*cluster
	kind      kind
	seed      uint64
	directory string
	began     time.Time
	random    *rand.Rand // of the fault
	watchers  []*watcher
	streamer  *streamer
	// written counts the writes that were acknowledged, by proxy; tried counts all operations.
	written, tried [machines]atomic.Int64
	// newest is the highest index that a client knows.
	newest atomic.Uint64

	mu       sync.Mutex
	history  exact.History
	findings []string
	// clients is the number of clients that there were. Each has a number of its own.
	clients int
}

// early is how much too early a node may expire: the clock of a keeper may be wrong by 2 s.
const early = 2500 * time.Millisecond

func newRound(c *cluster, k kind, seed uint64) *round {
	r := &round{cluster: c, kind: k, seed: seed, directory: fmt.Sprintf("/eventlogging/%d", seed), began: time.Now(), random: rand.New(rand.NewPCG(seed, 0))}
	r.history = exact.History{Tree: exact.Tree{}, Early: early,
		Registers: []string{r.key("r0"), r.key("r1")}, Directories: []string{r.key("d0"), r.key("d1")}}
	return r
}

func (r *round) key(format string, args ...any) string {
	return r.directory + "/" + fmt.Sprintf(format, args...)
}

// finding takes note of what is wrong.
func (r *round) finding(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.findings = append(r.findings, fmt.Sprintf(format, args...))
}

// record adds an operation to the history.
func (r *round) record(o *exact.Op) {
	r.tried[o.Proxy].Add(1)
	if o.Action != v2store.Get && o.Outcome == exact.Answered && o.Code == 0 {
		r.written[o.Proxy].Add(1)
	}
	for newest := r.newest.Load(); o.Index > newest && !r.newest.CompareAndSwap(newest, o.Index); newest = r.newest.Load() {
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.history.Ops = append(r.history.Ops, *o)
}

// maxAhead is how far writers may be ahead of the watchers, in indexes. It is less than the history.
const maxAhead = 400

// room waits until the watchers are not far behind, and reports whether the context goes on.
func (r *round) room(ctx context.Context) bool {
	for _, w := range r.watchers {
		for w.key == "" && r.newest.Load() > w.last.Load()+maxAhead && ctx.Err() == nil {
			pause(ctx, time.Millisecond)
		}
	}
	return ctx.Err() == nil
}

// settle sends an operation until it is answered.
func (r *round) settle(proxy int, request exact.Request) *exact.Op {
	r.Helper()
	client := newHTTPClient()
	defer client.CloseIdleConnections()
	r.mu.Lock()
	r.clients++
	number := r.clients
	r.mu.Unlock()
	var last *exact.Op
	n := 0
	r.wait(fmt.Sprintf("proxy %d answers to %s of %s", proxy, request.Action, request.Key), func() bool {
		n++
		last = &exact.Op{Request: request, Client: number, Proxy: proxy}
		if request.Action == v2store.Set {
			last.Value = fmt.Sprintf("settled-%d-%d", number, n)
		}
		r.do(client, last, 0)
		return last.Outcome == exact.Answered || last.Outcome == exact.Executed
	})
	return last
}

// progress waits until clients of proxies have written.
func (r *round) progress(n int64, of ...int) {
	r.Helper()
	for _, i := range of {
		before := r.written[i].Load()
		r.wait(fmt.Sprintf("writes through proxy %d are acknowledged", i), func() bool { return r.written[i].Load() >= before+n })
	}
}

// attempts waits until clients of a proxy have tried to use it.
func (r *round) attempts(n int64, of int) {
	r.Helper()
	before := r.tried[of].Load()
	r.wait(fmt.Sprintf("operations through proxy %d have ended", of), func() bool { return r.tried[of].Load() >= before+n })
}

// others returns the numbers of the machines but one.
func others(of int) []int { return []int{(of + 1) % machines, (of + 2) % machines} }

var everyone = []int{0, 1, 2}

// run lets clients work while the fault happens, and checks what they were told.
func (r *round) run() {
	r.Helper()
	r.history.After = r.settle(r.random.IntN(machines), exact.Request{Action: v2store.Get, Key: r.directory, Recursive: true, Quorum: true}).Index
	ctx, stop := context.WithCancel(r.Context())
	defer stop()
	var writing, watching sync.WaitGroup
	for i, name := range []string{"the first watcher", "the second watcher", "the watcher of a register"} {
		w := r.newWatcher(name, map[int]string{2: r.key("r0")}[i], i)
		r.watchers = append(r.watchers, w)
		watching.Go(w.run)
	}
	r.streamer = r.newStreamer(r.random.IntN(machines))
	watching.Go(r.streamer.run)
	r.startClients(ctx, &writing)
	r.progress(5, everyone...)
	r.kind.inject(r)
	r.progress(5, everyone...)
	stop()
	writing.Wait()
	for i := range r.proxies {
		r.settle(i, exact.Request{Action: v2store.Get, Key: r.directory, Recursive: true, Quorum: true})
	}
	register := r.settle(0, exact.Request{Action: v2store.Set, Key: r.key("r0")})
	last := r.settle(1, exact.Request{Action: v2store.Set, Key: r.key("last")})
	for i, w := range r.watchers {
		w.finish([]uint64{last.Index, last.Index, register.Index}[i])
	}
	r.streamer.end = last.Index
	close(r.streamer.ending)
	watching.Wait()
	r.history.To = last.Index
	r.check()
}

// remove removes what the clients have left, so that a long run does not end with a large tree.
func (r *round) remove() {
	r.Helper()
	r.settle(0, exact.Request{Action: v2store.Delete, Key: r.directory, Dir: true, Recursive: true})
}

// startClients starts clients that write until the context ends.
func (r *round) startClients(ctx context.Context, all *sync.WaitGroup) {
	for n := range writers * machines {
		c := &client{round: r, number: -n, proxy: n % machines, random: rand.New(rand.NewPCG(r.seed, uint64(n+1))), http: newHTTPClient(), known: map[string]v2store.Node{}}
		all.Go(func() {
			defer c.http.CloseIdleConnections()
			c.run(ctx)
		})
	}
}

// check judges the history.
func (r *round) check() {
	r.Helper()
	h := &r.history
	for i, w := range r.watchers {
		if i == 0 {
			h.Events, h.Jumps = w.events, w.jumps
			continue
		}
		h.Watchers = append(h.Watchers, exact.Watcher{Name: w.name, After: h.After, To: w.end, Key: w.key, Events: w.events, Jumps: w.jumps})
	}
	for _, w := range r.streamer.streams {
		// The last stream may have begun behind the end.
		w.To = min(w.To, h.To)
		h.Watchers = append(h.Watchers, w)
	}
	for _, text := range append(r.findings, h.Check()...) {
		r.Errorf("%s, seed %d: %s", r.kind.name, r.seed, text)
	}
}

// eventually is [fronttest.Eventually] for what happens in the directory of the round.
func (r *round) eventually(what string, holds func() bool) {
	r.Helper()
	fronttest.Eventually(r, r.kind.name+": "+what, holds)
}

package upstream

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"etcd-tlsproxy/proxy/account"
)

func TestABudgetIsNeverExceeded(t *testing.T) {
	var b Budget
	for _, c := range []struct {
		n    int64
		want bool
		held int64
	}{{60, true, 60}, {41, false, 60}, {40, true, 100}, {1, false, 100}, {0, true, 100}} {
		if got := b.reserve(c.n, 100); got != c.want || b.Held() != c.held {
			t.Errorf("reserving %d bytes of 100: got %t with %d held, want %t with %d", c.n, got, b.Held(), c.want, c.held)
		}
	}
}

// get sends a read and returns its answer, of which nothing was read.
func get(t *testing.T, p *Pool) *Response {
	t.Helper()
	r, err := p.Do(context.Background(), &Request{Method: "GET", Target: "/"})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// Each size is the largest of its kind, or the next.
func TestWhichAnswersAreReceivedWhole(t *testing.T) {
	for _, c := range []struct {
		size   int
		budget int64
		whole  bool
		held   int64
	}{
		{64<<10 - 1, 1, true, 0}, {64 << 10, 1, false, 0}, // without a budget, only small ones are
		{64 << 10, 64<<10 + 1, true, 64<<10 + 1}, {64<<10 + 1, 64<<10 + 1, false, 0},
		{4 << 20, 0, true, 4<<20 + 1}, {4<<20 + 1, 0, false, 0},
		{0, 1, true, 0},
	} {
		s := serveLarge(t, strings.Repeat("x", c.size), false)
		p := newPool(t, Options{Buffered: c.budget}, s.endpoint())
		r := get(t, p)
		fresh := &Buffered{}
		bufferedPool.Put(fresh)
		b, whole, err := r.ReadBuffered(nil, Payer{})
		if err != nil {
			t.Fatal(err)
		}
		if held := p.count.Buffered.Held(); whole != c.whole || c.whole && b == fresh && held != c.held || c.whole && len(b.Bytes) != c.size {
			t.Errorf("an answer of %d bytes with a budget of %d: got whole %t with %d bytes held, want %t with %d", c.size, c.budget, whole, held, c.whole, c.held)
		}
		if b.Units() != 0 {
			t.Errorf("an answer that no client pays: got %d units, want none", b.Units())
		}
		b.Free()
		if held := p.count.Buffered.Held(); held != 0 {
			t.Errorf("after an answer of %d bytes: got %d bytes held, want none", c.size, held)
		}
		r.Close()
	}
}

func TestAClientPaysForTheMemoryOfItsAnswer(t *testing.T) {
	table := account.NewTable()
	client := table.Address(netip.MustParseAddr("192.0.2.1"))
	for _, c := range []struct {
		total int64 // units of the pool
		size  int
		whole bool
		units int64
	}{{1000, 100 << 10, true, 101}, {1000, 100, true, 0}, {150, 100 << 10, true, 101}, {64, 100 << 10, false, 0}} {
		s := serveLarge(t, strings.Repeat("x", c.size), false)
		p := newPool(t, Options{}, s.endpoint())
		memory := table.NewPool(account.Options{Name: "memory", Unit: account.LeaseUnit, Total: c.total})
		r := get(t, p)
		b, whole, err := r.ReadBuffered(nil, Payer{Memory: memory, Account: client})
		if err != nil {
			t.Fatal(err)
		}
		if whole != c.whole || whole && b.Units() != c.units || whole && (c.units > 0) != (client.Held(memory) > 0) {
			t.Errorf("an answer of %d bytes with a pool of %d units: got whole %t with %d units, of which the client holds %d; want %t with %d",
				c.size, c.total, whole, b.Units(), client.Held(memory), c.whole, c.units)
		}
		b.Free()
		if memory.Used() != 0 || p.count.Buffered.Held() != 0 {
			t.Errorf("after an answer of %d bytes: got %d units and %d bytes held, want none", c.size, memory.Used(), p.count.Buffered.Held())
		}
		r.Close()
	}
	client.Close()
}

// A client that is canceled while it waits for memory gives the budget back.
func TestAnAnswerForWhichItsClientHasNoMemoryHoldsNone(t *testing.T) {
	table := account.NewTable()
	client := table.Address(netip.MustParseAddr("192.0.2.1"))
	memory := table.NewPool(account.Options{Name: "memory", Total: 200, Queue: 10})
	memory.TryAcquire(client, 200, account.Ordinary)
	var budget Budget
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	b := &Buffered{budget: &budget, paid: true, lease: account.NewLease(memory, client, account.Ordinary), ctx: ctx}
	if b.reserve(70<<10, 1<<20) || budget.Held() != 0 || b.held != 0 || memory.Used() != 200 {
		t.Errorf("reserving for a client that has left: got %d bytes of the budget and %d units in use, want none and 200", budget.Held(), memory.Used())
	}
	memory.Release(client, 200, account.Ordinary)
	if !b.reserve(70<<10, 1<<20) || budget.Held() != 70<<10 || b.held != 70<<10 || memory.Used() == 0 {
		t.Errorf("reserving where there is memory: got %d bytes of the budget and %d units in use, want %d and some", budget.Held(), memory.Used(), 70<<10)
	}
	if b.reserve(1<<20, 1<<20) || b.held != 70<<10 {
		t.Error("reserving beyond the budget: got it, want a refusal")
	}
	b.Free()
	if budget.Held() != 0 || memory.Used() != 0 {
		t.Errorf("after it was freed: got %d bytes of the budget and %d units in use, want none", budget.Held(), memory.Used())
	}
	client.Close()
}

// kept makes the next answer find memory of an earlier one, and reports whether it did.
func kept(size int, read func() *Buffered) (b *Buffered, found bool) {
	for range 100 { // the pool may choose another one, with the race detector also at random
		mine := &Buffered{Bytes: make([]byte, 0, size)}
		bufferedPool.Put(mine)
		if b = read(); b == mine {
			return b, true
		}
		b.Free()
	}
	return nil, false
}

func TestMemoryOfAnEarlierAnswerIsUsedIfTheNextNeedsMuchOfIt(t *testing.T) {
	const size = 256 << 10
	for _, c := range []struct {
		length int
		budget int64
		held   int64
		reused bool
	}{
		{64 << 10, 0, size, true}, {64<<10 - 1, 0, 0, false}, {200 << 10, 0, size, true}, {0, 0, 0, false},
		{200 << 10, size, size, true}, {200 << 10, size - 1, 200<<10 + 1, false}, // the budget has room for a smaller one
	} {
		s := serveLarge(t, strings.Repeat("x", c.length), false)
		p := newPool(t, Options{Buffered: c.budget}, s.endpoint())
		b, found := kept(size, func() *Buffered {
			r := get(t, p)
			defer r.Close()
			b, whole, err := r.ReadBuffered(nil, Payer{})
			if err != nil || !whole || len(b.Bytes) != c.length {
				t.Fatalf("an answer of %d bytes: got whole %t, %v", c.length, whole, err)
			}
			return b
		})
		if !found {
			t.Skip("the pool of memory never gave back what was put into it")
		}
		if reused := cap(b.Bytes) == size; reused != c.reused || p.count.Buffered.Held() != c.held {
			t.Errorf("an answer of %d bytes with a budget of %d: got the memory reused %t and %d bytes held, want %t and %d", c.length, c.budget, reused, p.count.Buffered.Held(), c.reused, c.held)
		}
		b.Free()
		if p.count.Buffered.Held() != 0 {
			t.Errorf("after it: got %d bytes held, want none", p.count.Buffered.Held())
		}
	}
	for capacity, want := range map[int]bool{size: true, size + 1: false} {
		b := &Buffered{budget: &Budget{}, Bytes: make([]byte, 0, capacity)}
		if b.Free(); (b.Bytes != nil) != want {
			t.Errorf("memory of %d bytes after its answer: got kept %t, want %t", capacity, b.Bytes != nil, want)
		}
	}
}

func TestAnAnswerWithoutALengthDoublesItsMemory(t *testing.T) {
	var budget Budget
	b := &Buffered{budget: &budget}
	var sizes []int
	for b.grow(-1, 0, 1<<30) {
		sizes = append(sizes, cap(b.Bytes))
		b.Bytes = b.Bytes[:cap(b.Bytes)]
	}
	if got, want := fmt.Sprint(sizes), fmt.Sprint([]int{64 << 10, 128 << 10, 256 << 10, 512 << 10, 1 << 20, 2 << 20, 4 << 20}); got != want {
		t.Errorf("the sizes of the memory: got %s, want %s", got, want)
	}
	if budget.Held() != 4<<20 {
		t.Errorf("held for it: got %d bytes, want %d", budget.Held(), 4<<20)
	}
	for announced, want := range map[int64]bool{MaxBuffered: true, MaxBuffered + 1: false} {
		if got := (&Buffered{budget: &Budget{}}).grow(-1, announced, 1<<30); got != want {
			t.Errorf("room for an answer that announces %d bytes: got %t, want %t", announced, got, want)
		}
	}
}

func TestTheDefaultsOfAPool(t *testing.T) {
	at, err := ParseEndpoint("http://127.0.0.1:1")
	if err != nil {
		t.Fatal(err)
	}
	p, err := New(Options{Endpoints: []Endpoint{at}})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	o := p.o
	got := fmt.Sprint(p.MaxRequests(), o.MaxWatches, o.MaxIdle, p.MaxMemory(), o.IdleTimeout, o.DialTimeout, p.Patience(), o.BodyTimeout)
	if want := fmt.Sprint(1024, 20_000, 256, 128<<20, 90*time.Second, 2*time.Second, 30*time.Second, 30*time.Second); got != want {
		t.Errorf("the defaults: got %s, want %s", got, want)
	}
	if q, err := New(Options{Endpoints: []Endpoint{at}, MaxRequests: 1, MaxWatches: 1, MaxIdle: 1, Buffered: 1, IdleTimeout: 1, DialTimeout: 1, HeaderTimeout: 1, BodyTimeout: 1}); err != nil ||
		q.o.MaxRequests+q.o.MaxWatches+q.o.MaxIdle != 3 || q.o.Buffered != 1 || q.o.IdleTimeout+q.o.DialTimeout+q.o.HeaderTimeout+q.o.BodyTimeout != 4 {
		t.Errorf("options of one each: got %+v, %v; want them unchanged", q.o, err)
	} else {
		q.Close()
	}
	for requests, want := range map[int]int64{1: 1, 2: 1, 8: 7, 15: 14, 16: 14, 1024: 896} {
		if s := newSlots(requests); s.readLimit != want || s.limit != int64(requests) {
			t.Errorf("of %d slots, reads have %d, want %d", s.limit, s.readLimit, want)
		}
	}
}

func TestEndpointsAreReadStrictly(t *testing.T) {
	for text, want := range map[string]string{
		"http://127.0.0.1:2379": "tcp 127.0.0.1:2379 http://127.0.0.1:2379 false 127.0.0.1", "https://etcd1:1/": "tcp etcd1:1 https://etcd1:1 true etcd1", "http://[::1]:65535": "tcp [::1]:65535 http://[::1]:65535 false ::1",
		"unix:///run/etcd.sock": "unix /run/etcd.sock unix:///run/etcd.sock false ",
		"unix://run/etcd":       "", "unix:/run/etcd": "", "ftp://h:1": "", "h:1": "", "": "", "http://u@h:1": "", "http://h:1/a": "", "http://h:1?a": "", "http://h:1?": "", "http://h:1#": "", "http://h:1#a": "", "http://:1": "", "http://h": "",
		"http://h:0": "", "http://h:65536": "", "http://h:x": "", "http://[::1": "", "://": "",
	} {
		e, err := ParseEndpoint(text)
		got := ""
		if err == nil {
			got = fmt.Sprintf("%s %s %s %t %s", e.network, e.address, e, e.TLS(), e.host)
		}
		if got != want {
			t.Errorf("ParseEndpoint(%q): got %q, %v; want %q", text, got, err, want)
		}
	}
}

func TestWhatIsKnownOfARequestThatFailed(t *testing.T) {
	e := &endpoint{Endpoint: Endpoint{text: "http://h:1"}}
	gone, cancel := context.WithCancelCause(context.Background())
	left := errors.New("the client has left")
	cancel(left)
	other := errors.New("reset")
	for _, c := range []struct {
		ctx    context.Context
		method string
		err    error
		kind   Kind
		cause  error
	}{
		{context.Background(), "GET", other, Broken, other}, {context.Background(), "HEAD", other, Broken, other}, {context.Background(), "PUT", other, UnknownOutcome, other},
		{context.Background(), "DELETE", other, UnknownOutcome, other}, {context.Background(), "GET", os.ErrDeadlineExceeded, Timeout, os.ErrDeadlineExceeded},
		{context.Background(), "POST", os.ErrDeadlineExceeded, Timeout, os.ErrDeadlineExceeded}, {gone, "PUT", other, Canceled, left},
	} {
		got := classify(c.ctx, e, c.method, c.err)
		if got.Kind != c.kind || !errors.Is(got, c.cause) || got.Endpoint != "http://h:1" {
			t.Errorf("a %s that failed with %v: got %v, want the kind %v and the cause %v", c.method, c.err, got, c.kind, c.cause)
		}
	}
	for err, want := range map[*Error]string{
		{Kind: Busy, Err: other}: "asking etcd: busy: reset", {Kind: UnknownOutcome, Endpoint: "http://h:1", Err: other}: "asking etcd at http://h:1: lost: reset",
	} {
		if got := err.Error(); got != want {
			t.Errorf("the text of an error: got %q, want %q", got, want)
		}
	}
}

func TestUpToFourInterimAnswersAreSkipped(t *testing.T) {
	const interim = "HTTP/1.1 100 Continue\r\n\r\n"
	for n, want := range map[int]Kind{0: -1, 1: -1, 4: -1, 5: Broken} {
		s := answer(t, strings.Repeat(interim, n)+ok)
		p := newPool(t, Options{}, s.endpoint())
		if body, kind := exchange(t, p, "GET"); kind != want || want == -1 && body != "ok" {
			t.Errorf("an answer behind %d interim ones: got %q and kind %d, want kind %d", n, body, kind, want)
		}
	}
	for size, want := range map[int]Kind{60 << 10: -1, 65 << 10: Broken} {
		s := answer(t, "HTTP/1.1 200 OK\r\nA: "+strings.Repeat("x", size)+"\r\nContent-Length: 2\r\n\r\nok")
		p := newPool(t, Options{}, s.endpoint())
		if body, kind := exchange(t, p, "GET"); kind != want || want == -1 && body != "ok" {
			t.Errorf("an answer whose head has %d bytes: got %q and kind %d, want kind %d", size, body, kind, want)
		}
	}
}

// What etcd reads of a request decides where the next one begins.
func TestTheLengthOfABodyIsSentWithEachRequestThatCanHaveOne(t *testing.T) {
	for _, c := range []struct {
		method string
		body   []byte
		want   int64
	}{
		{"GET", nil, 0}, {"HEAD", nil, 0}, {"DELETE", nil, 0}, {"PUT", nil, 0}, {"POST", []byte{}, 0}, {"PUT", []byte("abc"), 3}, {"PUT", make([]byte, smallBody), smallBody}, {"PUT", make([]byte, smallBody+1), smallBody + 1}, {"DELETE", []byte("a"), 1},
	} {
		got := make(chan string, 1)
		s := serve(t, func(session *session) {
			r, more := session.request()
			if !more {
				return
			}
			got <- fmt.Sprintf("%s %d %q", r.Method, r.ContentLength, r.Header["Content-Length"])
			session.say("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
		})
		p := newPool(t, Options{}, s.endpoint())
		if _, kind := exchangeWith(t, context.Background(), p, &Request{Method: c.method, Target: "/", Body: c.body}); kind != -1 {
			t.Errorf("%s with %d bytes: got kind %d, want no error", c.method, len(c.body), kind)
			continue
		}
		var field []string
		if c.body != nil || c.method == "PUT" || c.method == "POST" {
			field = []string{fmt.Sprint(c.want)}
		}
		if got, want := <-got, fmt.Sprintf("%s %d %q", c.method, c.want, field); got != want {
			t.Errorf("%s with %d bytes: etcd got %s, want %s", c.method, len(c.body), got, want)
		}
	}
}

func TestTheFirstLineOnAPlaintextConnectionHasUpTo4096Bytes(t *testing.T) {
	for length, want := range map[int]Kind{4096: -1, 4097: TooLong} {
		s := serve(t, always)
		p := newPool(t, Options{}, s.endpoint())
		target := "/" + strings.Repeat("a", length-len("GET / HTTP/1.1\r\n"))
		if _, kind := exchangeWith(t, context.Background(), p, &Request{Method: "GET", Target: target}); kind != want {
			t.Errorf("a request line of %d bytes: got kind %d, want %d", length, kind, want)
		}
	}
}

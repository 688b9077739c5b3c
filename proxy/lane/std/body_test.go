package std

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"strings"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"etcd-tlsproxy/proxy/account"
	"etcd-tlsproxy/proxy/gate"
	"etcd-tlsproxy/proxy/lane"
)

// deadlines is a response writer that records the deadlines of its connection.
type deadlines struct {
	*httptest.ResponseRecorder
	read, write []time.Time
	fail        error // of SetReadDeadline
	// passed is closed when a deadline in the past is set; reads wait for that.
	passed chan struct{}
}

// Read is for bodies that are never finished.
func (d *deadlines) Read([]byte) (int, error) {
	<-d.passed
	return 0, os.ErrDeadlineExceeded
}

func (d *deadlines) SetReadDeadline(t time.Time) error {
	d.read = append(d.read, t)
	if d.passed != nil && !t.IsZero() && t.Before(time.Now()) {
		close(d.passed)
	}
	return d.fail
}

func (d *deadlines) SetWriteDeadline(t time.Time) error {
	d.write = append(d.write, t)
	return nil
}

// upload is a request of HTTP/1.1 with a body. Without a length it is chunked.
func upload(body io.Reader, length int64) *http.Request {
	r := httptest.NewRequest("PUT", "/v2/keys/a", io.MultiReader(body))
	r.ContentLength = length
	return r
}

const bodyTimeout = 10 * time.Second

// testBodies are bodies with memory for one account.
type testBodies struct {
	*bodies
	table *account.Table
	payer client
}

// client is a client at an address.
type client struct {
	table *account.Table
	addr  netip.Addr
}

func (c client) openAccount() *account.Account { return c.table.Address(c.addr) }

// newBodies returns bodies that do not wait long for memory.
func newBodies(memory int64) *testBodies {
	table := account.NewTable()
	pool := table.NewPool(account.Options{Name: "bodies", Total: memory / account.LeaseUnit})
	return &testBodies{&bodies{memory: pool, patience: time.Millisecond}, table, client{table, netip.MustParseAddr("192.0.2.1")}}
}

func receive(bs *testBodies, r *http.Request, limit int64) (*body, *gate.Refusal, *deadlines) {
	w := &deadlines{ResponseRecorder: httptest.NewRecorder()}
	b, refusal := receiveWith(bs, w, r, limit)
	return b, refusal, w
}

func receiveWith(bs *testBodies, w http.ResponseWriter, r *http.Request, limit int64) (*body, *gate.Refusal) {
	return bs.receive(w, r, &lane.Limits{Body: limit, BodyTimeout: bodyTimeout}, bs.payer)
}

func receiveBytes(bs *testBodies, size int, length, limit int64) (*body, *gate.Refusal) {
	b, refusal, _ := receive(bs, upload(bytes.NewReader(make([]byte, size)), length), limit)
	return b, refusal
}

// expectAllMemory checks that nothing is held of the memory.
func expectAllMemory(t *testing.T, bs *testBodies, when string) {
	t.Helper()
	if used := bs.memory.Used(); used != 0 {
		t.Fatalf("memory of bodies %s: %d units are held, want none", when, used)
	}
}

func TestTheMemoryOfLargeBodiesIsGivenBack(t *testing.T) {
	const memory, large = 128 << 10, 100 << 10 // a large body holds all of the memory
	bs := newBodies(memory)
	for i := range 5 {
		first, refusal := receiveBytes(bs, large, large, 1<<20)
		if refusal != nil || len(first.bytes) != large {
			t.Fatalf("large body %d: got %d bytes and the refusal %v, want all and none", i+1, len(first.bytes), refusal)
		}
		second, refusal := receiveBytes(bs, large, large, 1<<20)
		if refusal != gate.RefuseMemory {
			t.Errorf("a large body beside another: got the refusal %v, want %v", refusal, gate.RefuseMemory)
		}
		second.free()
		small, refusal := receiveBytes(bs, smallBody-1, smallBody-1, 1<<20)
		if refusal != nil {
			t.Errorf("a small body beside a large one: got the refusal %v, want none", refusal)
		}
		small.free()
		first.free()
		first.free() // gives nothing back that another may hold
		expectAllMemory(t, bs, "after all were freed")
	}
}

// TestBodiesOfAFewKilobytesHoldTheMemoryTogether lets them fill it: a client can send thousands.
func TestBodiesOfAFewKilobytesHoldTheMemoryTogether(t *testing.T) {
	const memory, size = 1 << 20, 16 << 10
	bs := newBodies(memory)
	held := 0
	for held <= memory/size {
		b, refusal := receiveBytes(bs, size-1, size-1, 1<<20)
		defer b.free()
		if refusal == gate.RefuseMemory {
			break
		}
		held++
	}
	if held == 0 || held > memory/size {
		t.Errorf("got %d bodies of %d bytes, want some, which hold no more than %d together", held, size-1, memory)
	}
}

func TestABodyThatIsRefusedHoldsNoMemoryAfterItsFree(t *testing.T) {
	const memory = 1 << 20
	bs := newBodies(memory)
	broken := errors.New("broken")
	for what, c := range map[string]struct {
		body io.Reader
		want *gate.Refusal
	}{
		"too large":    {bytes.NewReader(make([]byte, 300<<10)), gate.RefuseTooLarge},
		"broken off":   {io.MultiReader(bytes.NewReader(make([]byte, 200<<10)), iotest.ErrReader(broken)), gate.RefuseBody},
		"slow":         {io.MultiReader(bytes.NewReader(make([]byte, 200<<10)), iotest.ErrReader(os.ErrDeadlineExceeded)), gate.RefuseSlowBody},
		"slow at once": {iotest.ErrReader(os.ErrDeadlineExceeded), gate.RefuseSlowBody},
	} {
		b, refusal, w := receive(bs, upload(c.body, -1), 256<<10)
		if refusal != c.want {
			t.Errorf("a body that is %s: got the refusal %v, want %v", what, refusal, c.want)
		}
		if last := w.read[len(w.read)-1]; !last.IsZero() {
			t.Errorf("the read deadline after a body that is %s: got %v, want none", what, last)
		}
		b.free()
		expectAllMemory(t, bs, "after a body that is "+what)
	}
}

func TestTheLimitOfABodyIsExact(t *testing.T) {
	for _, limit := range []int64{0, 1, 511, 512, 4096, 5000, smallBody, 100_000} {
		bs := newBodies(1 << 20)
		for what, length := range map[string]func(int64) int64{
			"announced": func(size int64) int64 { return size },
			"chunked":   func(int64) int64 { return -1 },
		} {
			for size, want := range map[int64]*gate.Refusal{limit: nil, limit + 1: gate.RefuseTooLarge} {
				b, refusal := receiveBytes(bs, int(size), length(size), limit)
				if refusal != want || want == nil && int64(len(b.bytes)) != size {
					t.Errorf("a body of %d bytes, %s, with the limit %d: got %d bytes and the refusal %v, want %v", size, what, limit, len(b.bytes), refusal, want)
				}
				b.free()
			}
		}
		expectAllMemory(t, bs, "in the end")
	}
}

func TestABodyThatIsAnnouncedAsTooLargeIsNotRead(t *testing.T) {
	read := &firstRead{Reader: strings.NewReader("x"), check: func(int) { t.Error("the body was read, which asks the client to send it") }}
	if _, refusal, w := receive(newBodies(1<<20), upload(read, 1025), 1024); refusal != gate.RefuseTooLarge || len(w.read) > 0 {
		t.Errorf("a body of 1025 bytes with the limit 1024: got the refusal %v and deadlines %v, want %v and none", refusal, w.read, gate.RefuseTooLarge)
	}
}

func TestOnHTTP2ABodyBehindALengthOfZeroIsRead(t *testing.T) {
	bs := newBodies(1 << 20)
	r := upload(strings.NewReader("value=1"), 0)
	r.ProtoMajor, r.ProtoMinor = 2, 0
	b, refusal, w := receive(bs, r, 1<<10)
	if refusal != nil || string(b.bytes) != "value=1" {
		t.Errorf("on HTTP/2: got %q and the refusal %v, want the body", b.bytes, refusal)
	}
	if len(w.write) > 0 {
		t.Errorf("on HTTP/2: got write deadlines %v, want none: one would end the other streams", w.write)
	}
	// net/http reports the difference as an error of the body.
	r = upload(iotest.ErrReader(errors.New("more than announced")), 0)
	r.ProtoMajor, r.ProtoMinor = 2, 0
	if _, refusal, _ := receive(bs, r, 1<<10); refusal != gate.RefuseBody {
		t.Errorf("on HTTP/2, a body that differs from its length: got the refusal %v, want %v", refusal, gate.RefuseBody)
	}
	if b, refusal, w := receive(bs, upload(iotest.ErrReader(errors.New("read")), 0), 1<<10); refusal != nil || len(b.bytes) > 0 || len(w.read) > 0 {
		t.Errorf("on HTTP/1.1, a length of 0: got %q, the refusal %v and deadlines %v, want nothing read", b.bytes, refusal, w.read)
	}
}

// firstRead checks a condition when the first byte is read: net/http sends 100 Continue then.
type firstRead struct {
	io.Reader
	check func(buffer int)
}

func (f *firstRead) Read(p []byte) (int, error) {
	if check := f.check; check != nil {
		f.check = nil
		check(len(p))
	}
	return f.Reader.Read(p)
}

func TestThe100ContinueHasADeadlineBeforeItIsSent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		w := &deadlines{ResponseRecorder: httptest.NewRecorder()}
		r := upload(nil, 0)
		r.ContentLength = 100 << 10
		r.Header.Set("Expect", "100-continue")
		checked := false
		r.Body = io.NopCloser(&firstRead{Reader: bytes.NewReader(make([]byte, 100<<10)), check: func(buffer int) {
			checked = true
			want := start.Add(bodyTimeout)
			if len(w.write) != 1 || !w.write[0].Equal(want) {
				t.Errorf("write deadlines at the first read: got %v, want %v", w.write, want)
			}
			if len(w.read) != 1 || !w.read[0].Equal(want) {
				t.Errorf("read deadlines at the first read: got %v, want %v", w.read, want)
			}
			if buffer > smallBody {
				t.Errorf("memory of a body of which no byte has arrived: got %d bytes, want at most %d", buffer, smallBody)
			}
		}})
		b, refusal := receiveWith(newBodies(1<<20), w, r, 1<<20)
		if refusal != nil || len(b.bytes) != 100<<10 || !checked {
			t.Errorf("receive: got %d bytes and the refusal %v, want %d and none", len(b.bytes), refusal, 100<<10)
		}
		if last := w.read[len(w.read)-1]; !last.IsZero() {
			t.Errorf("the read deadline behind the body: got %v, want none", last)
		}
	})
}

func TestABodyWithoutADeadlineIsNotRead(t *testing.T) {
	w := &deadlines{ResponseRecorder: httptest.NewRecorder(), fail: errors.New("closed")}
	read := &firstRead{Reader: strings.NewReader("value=1"), check: func(int) { t.Error("the body was read, want no read without a deadline") }}
	if _, refusal := receiveWith(newBodies(1<<20), w, upload(read, 7), 1<<10); refusal != gate.RefuseBody {
		t.Errorf("receive without deadlines: got the refusal %v, want %v", refusal, gate.RefuseBody)
	}
}

// TestABodyMakesRoomForThatOfAnotherClient lets one client hold all the memory with bodies
// that it does not finish.
func TestABodyMakesRoomForThatOfAnotherClient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bs := newBodies(1 << 20)
		bs.patience = bodyPatience
		unfinished := make(chan *gate.Refusal, 8)
		var clients []*deadlines
		for range cap(unfinished) {
			w := &deadlines{ResponseRecorder: httptest.NewRecorder(), passed: make(chan struct{})}
			r := upload(nil, 0)
			r.ContentLength = 128 << 10
			r.Body = io.NopCloser(io.MultiReader(bytes.NewReader(make([]byte, 100<<10)), w))
			go func() {
				b, refusal := bs.receive(w, r, &lane.Limits{Body: 1 << 20, BodyTimeout: time.Hour}, bs.payer)
				b.free()
				unfinished <- refusal
			}()
			clients = append(clients, w)
		}
		synctest.Wait()
		other := client{bs.table, netip.MustParseAddr("198.51.100.1")}
		w := &deadlines{ResponseRecorder: httptest.NewRecorder()}
		b, refusal := bs.receive(w, upload(bytes.NewReader(make([]byte, 100<<10)), 100<<10), &lane.Limits{Body: 1 << 20, BodyTimeout: bodyTimeout}, other)
		if refusal != nil || len(b.bytes) != 100<<10 {
			t.Fatalf("a body beside unfinished ones of another client: got %d bytes and the refusal %v, want all and none", len(b.bytes), refusal)
		}
		b.free()
		if first := <-unfinished; first != gate.RefuseMemory {
			t.Errorf("the body that made room: got the refusal %v, want %v", first, gate.RefuseMemory)
		}
		if n := len(unfinished); n > 3 {
			t.Errorf("%d more bodies made room for a small one, want few", n)
		}
		for _, w := range clients {
			select {
			case <-w.passed:
			default:
				close(w.passed) // the client goes
			}
		}
		synctest.Wait()
		expectAllMemory(t, bs, "in the end")
		if n := bs.table.Len(); n != 0 {
			t.Errorf("in the end: got %d open accounts, want none", n)
		}
	})
}

// TestTheBodyOfAWriteThatWaitsForItsTurnMakesRoom is about a body that has arrived.
func TestTheBodyOfAWriteThatWaitsForItsTurnMakesRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const large = 100 << 10
		bs := newBodies(1 << 20)
		b, refusal := receiveBytes(bs, large, large, 1<<20)
		if refusal != nil {
			t.Fatal(refusal)
		}
		if got := b.Class(); got != account.Busy {
			t.Errorf("a body on its way to etcd: got class %d, want %d (busy)", got, account.Busy)
		}
		ctx, end := context.WithCancel(t.Context())
		b.setQueued(end)
		if got := b.Class(); got != account.Busy {
			t.Errorf("a write that has just begun to wait: got class %d, want %d (busy)", got, account.Busy)
		}
		time.Sleep(slowAfter) //nolint:forbidigo // of synctest
		if got := b.Class(); got != account.Slow {
			t.Errorf("a write that waits for its turn: got class %d, want %d (slow)", got, account.Slow)
		}
		if got := b.Revoke(account.Slow); got != b.lease.Units() || ctx.Err() == nil {
			t.Errorf("taking its body back: got %d units and the error %v of the wait, want %d, and its end", got, ctx.Err(), b.lease.Units())
		}
		if got := b.Revoke(account.Slow); got != 0 {
			t.Errorf("taking it back twice: got %d units, want none", got)
		}
		b.free()
		expectAllMemory(t, bs, "after the write has ended")
		sent, refusal := receiveBytes(bs, large, large, 1<<20)
		if refusal != nil {
			t.Fatal(refusal)
		}
		sent.setQueued(end)
		sent.setQueued(nil)
		time.Sleep(slowAfter) //nolint:forbidigo // of synctest
		if got := sent.Class(); got != account.Busy {
			t.Errorf("a write whose turn has come: got class %d, want %d (busy)", got, account.Busy)
		}
		sent.free()
	})
}

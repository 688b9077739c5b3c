package std

import (
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/http2"

	"etcd-tlsproxy/proxy/account"
	"etcd-tlsproxy/proxy/proxytest/lanetest"
)

// eventually waits until a state is reached.
func eventually(t *testing.T, what string, reached func() bool) {
	t.Helper()
	for limit := time.Now().Add(time.Minute); !reached(); time.Sleep(time.Millisecond) { //nolint:forbidigo // for states that nothing signals
		if time.Now().After(limit) {
			t.Fatalf("after a minute it is still not so that %s", what)
		}
	}
}

// TestAnswersOfAnySizeGiveTheirConnectionToEtcdBack has answers that are received whole, and some that are
// sent on while etcd sends them.
func TestAnswersOfAnySizeGiveTheirConnectionToEtcdBack(t *testing.T) {
	var connections atomic.Int64
	etcd := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		size, _ := strconv.Atoi(strings.TrimPrefix(q.URL.Path, "/v2/keys/"))
		w.Header().Set("Content-Length", strconv.Itoa(size))
		_, _ = io.WriteString(w, strings.Repeat("x", size))
	}))
	etcd.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			connections.Add(1)
		}
	}
	etcd.Start()
	t.Cleanup(etcd.Close)
	r := newRig(t, func(*rig) {})
	*r.exchange = *lanetest.NewExchange(t, etcd.URL, r.exchange.Current.Load().Limits)
	client, _ := r.raw()
	for range 5 {
		for _, size := range []int{10, 100 << 10, 5 << 20} {
			if err := client.Send("GET /v2/keys/" + strconv.Itoa(size) + " HTTP/1.1\r\nHost: h\r\n\r\n"); err != nil {
				t.Fatal(err)
			}
			if a, err := client.Answer("GET"); err != nil || !a.Whole || len(a.Body) != size {
				t.Fatalf("an answer of %d bytes: got %d, whole %t, and the error %v", size, len(a.Body), a.Whole, err)
			}
		}
	}
	if n := connections.Load(); n > 2 { // the next request may come before the last one's is free
		t.Errorf("got %d connections to etcd for requests one after the other, want one or two", n)
	}
}

// TestTheMemoryOfABodyIsFreeBeforeItsAnswerIsTaken has a client that takes nothing of a large answer.
func TestTheMemoryOfABodyIsFreeBeforeItsAnswerIsTaken(t *testing.T) {
	const size = 100 << 10
	asked, answer := make(chan struct{}), make(chan struct{})
	r := newRigBefore(t, func(w http.ResponseWriter, q *http.Request) {
		_, _ = io.Copy(io.Discard, q.Body)
		close(asked)
		<-answer
		for range 100 {
			if _, err := io.WriteString(w, strings.Repeat("x", 100<<10)); err != nil {
				return
			}
		}
	}, func(*rig) {})
	client, served := r.raw()
	head := "PUT /v2/keys/eventlogging/a HTTP/1.1\r\nHost: h\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: " + strconv.Itoa(size) + "\r\n\r\n"
	if err := client.Send(head + strings.Repeat("x", size)); err != nil {
		t.Fatal(err)
	}
	<-asked
	if r.bodies.memory.Used() == 0 {
		t.Error("a body at etcd holds no memory")
	}
	close(answer)
	eventually(t, "the client is slow, or stalled", func() bool {
		class := served.Class()
		return class == account.Slow || class == account.Stalled
	})
	if used := r.bodies.memory.Used(); used != 0 {
		t.Errorf("while the answer waits for its client: got %d units held by its body, want none", used)
	}
}

// TestAnAnswerOfHTTP2IsChargedWhileItWaitsForItsClient has a client whose streams take nothing.
func TestAnAnswerOfHTTP2IsChargedWhileItWaitsForItsClient(t *testing.T) {
	r := newRigBefore(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "5000")
		_, _ = io.WriteString(w, strings.Repeat("x", 5000))
	}, func(*rig) {})
	r.exchange.Slots = r.table.NewPool(account.Options{Name: "requests", Total: 8})
	h := r.http2(0)
	h.ask(1)
	until[*http2.MetaHeadersFrame](h)
	if used := r.exchange.Slots.Used(); used != 0 {
		t.Errorf("an answer that etcd has given: got %d requests at etcd, want none", used)
	}
	const want = streamUnits + bufferSize/account.LeaseUnit
	if used := r.memory.Used(); used != want {
		t.Errorf("an answer of 5,000 bytes: got %d units charged, want %d", used, want)
	}
	r.memory.Resize(want+streamUnits, 0)
	h.ask(3)
	if reset := until[*http2.RSTStreamFrame](h); reset.StreamID != 3 {
		t.Errorf("without memory for another answer: got stream %d reset, want 3", reset.StreamID)
	}
	h.must(h.WriteRSTStream(1, http2.ErrCodeCancel))
	eventually(t, "nothing is charged", func() bool { return r.memory.Used() == 0 })
}

// TestAWatchOfHTTP2ThatIsTakenBackEndsAlone has another watch on the same connection.
func TestAWatchOfHTTP2ThatIsTakenBackEndsAlone(t *testing.T) {
	r := newRigBefore(t, func(w http.ResponseWriter, q *http.Request) {
		w.Header().Set("X-Etcd-Index", "7")
		_ = http.NewResponseController(w).Flush()
		<-q.Context().Done()
	}, func(*rig) {})
	h := r.http2(1 << 16)
	watch := []byte("\x82\x87\x04\x1d/v2/keys/a?wait=1&stream=true\x01\x01h")
	for _, stream := range []uint32{1, 3} {
		h.must(h.WriteHeaders(http2.HeadersFrameParam{StreamID: stream, BlockFragment: watch, EndStream: true, EndHeaders: true}))
		until[*http2.MetaHeadersFrame](h)
	}
	eventually(t, "both watches run", func() bool { return r.exchange.Watches.Count() == 2 })
	r.memory.Resize(3*streamUnits, 0)
	other := r.table.Address(netip.MustParseAddr("198.51.100.1")) // with it there is a share
	defer other.Close()
	if !r.memory.TryAcquire(other, 1, account.Ordinary) {
		t.Fatal("another client gets no memory")
	}
	defer r.memory.Release(other, 1, account.Ordinary)
	if n := r.reclaim(1); n != streamUnits {
		t.Errorf("got %d units taken back, want %d", n, streamUnits)
	}
	until[*http2.RSTStreamFrame](h)
	eventually(t, "one watch runs", func() bool { return r.exchange.Watches.Count() == 1 })
	eventually(t, "only its stream is charged", func() bool { return r.memory.Used() == streamUnits+1 })
}

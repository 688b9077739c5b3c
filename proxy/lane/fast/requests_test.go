package fast

import (
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"

	"etcd-tlsproxy/proxy/gate"
	"etcd-tlsproxy/proxy/http1"
	"etcd-tlsproxy/proxy/lane"
	"etcd-tlsproxy/proxy/observe"
	"etcd-tlsproxy/proxy/proxytest"
	"etcd-tlsproxy/proxy/proxytest/lanetest"
	"etcd-tlsproxy/proxy/proxytest/seed"
)

func TestARequestThatArrivesInPiecesIsAnswered(t *testing.T) {
	r := newRig(t, patientLimits)
	client, served, _ := r.connect()
	if err := client.Send("GET /v2/keys/none"); err != nil {
		t.Fatal(err)
	}
	r.eventually("a part of the head has arrived", func() bool {
		served.mu.Lock()
		defer served.mu.Unlock()
		return !served.partial.IsZero()
	})
	if err := client.Send(" HTTP/1.1\r\nHost: h\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	const want = "HTTP/1.1 404 Not Found\r\n"
	got := make([]byte, len(want))
	if _, err := io.ReadFull(client.Conn, got); err != nil || string(got) != want {
		t.Errorf("got %q and the error %v, want %q", got, err, want)
	}
}

func TestARefusalIsRecorded(t *testing.T) {
	r := newRig(t, patientLimits)
	client, _, _ := r.connect()
	if err := client.Send("PUT /v2/keys/a?value=1 HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	if a, err := client.Answer("PUT"); err != nil || a.Status != 401 {
		t.Fatalf("a write without a login: got %+v and the error %v, want the status 401", a, err)
	}
	s := r.Exchange.Current.Load()
	r.eventually("the refusal is in the status", func() bool {
		list := r.Exchange.Observer.Status(observe.State{Policy: &s.Policy, Counts: s.Counts(), Upstream: s.Upstream}).Refusals
		return len(list) == 1 && list[0].Status == 401
	})
}

func TestAClosedLaneClosesAConnectionThatStarts(t *testing.T) {
	r := &Lane{Conns: &lane.Conns{}}
	if err := r.Conns.Close(t.Context(), lane.Fast); err != nil {
		t.Fatal(err)
	}
	client, server := net.Pipe()
	defer client.Close()
	r.Start(tls.Server(lane.NewClientConn(server, false, func() {}), nil), seed.Peer())
	if _, err := client.Read(make([]byte, 1)); err != io.EOF { //nolint:errorlint // a pipe returns io.EOF itself
		t.Errorf("reading from a closed lane: got the error %v, want %v", err, io.EOF)
	}
}

// TestNothingOfAConnectionReachesTheNext returns buffers and looks at what is in them.
func TestNothingOfAConnectionReachesTheNext(t *testing.T) {
	for size, want := range map[int]int{4 * inSize: 4 * inSize, 4*inSize + 1: inSize} {
		b := bufferPool.New().(*buffers)
		b.in = make([]byte, size)
		b.request = http1.Request{Method: "GET", Fields: []http1.Field{{Name: "Authorization", Value: "Basic x"}, {Name: "Host", Value: "h"}}}
		b.call.Authorization = "Basic x"
		c := &conn{buffers: b}
		c.have = 10
		c.putBuffers()
		if c.buffers != nil || c.have != 0 {
			t.Errorf("after the return: got buffers %p with %d bytes, want none", c.buffers, c.have)
		}
		if b.request.Method != "" || len(b.request.Fields) != 0 || b.call.Authorization != "" || len(b.in) != want {
			t.Errorf("returned buffers: got the request %+v, the call %+v and room for %d bytes; want neither, and %d", b.request, b.call, len(b.in), want)
		}
	}
}

func TestALargerBodyIsLeftToTheStandardLane(t *testing.T) {
	t.Parallel()
	r := newRig(t, patientLimits)
	handed := make(chan string, 1)
	r.HandOver = func(c *tls.Conn, _ *gate.Peer, received []byte) {
		handed <- string(received)
		c.Close()
	}
	for size, want := range map[int]bool{16 << 10: false, 16<<10 + 1: true} {
		client, _, closed := r.connect()
		head := fmt.Sprintf("PUT /v2/keys/a HTTP/1.1\r\nHost: h\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: %d\r\n\r\n", size)
		if err := client.Send(head); err != nil {
			t.Fatal(err)
		}
		if want {
			if got := <-handed; got != head {
				t.Errorf("a body of %d bytes: got %q handed over, want the head", size, got)
			}
			<-closed
			continue
		}
		if a, err := client.Answer("PUT"); err != nil || a.Status != 401 || len(handed) != 0 {
			t.Errorf("a body of %d bytes: got %+v, the error %v and %d handed over, want the status 401 and none", size, a, err, len(handed))
		}
	}
}

// TestAnswersOfAllSizesArrive reads values that fit into a record with their head, that fill one,
// and that need several, one after another on one connection.
func TestAnswersOfAllSizesArrive(t *testing.T) {
	t.Parallel()
	r := newRig(t, patientLimits)
	client, _, _ := r.connect()
	ask := func(fields string) *proxytest.Answer {
		t.Helper()
		if err := client.Send("GET /v2/keys" + watchedKey + " HTTP/1.1\r\nHost: h\r\n" + fields + "\r\n"); err != nil {
			t.Fatal(err)
		}
		a, err := client.Answer("GET")
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	for _, size := range []int{1, 100, 900, 1100, 4000, 15_000, 16_300, 17_000, 100_000, 300_000} {
		value := strings.Repeat("0123456789", size/10+1)[:size]
		r.write(value)
		for range 2 {
			if a := ask(""); a.Status != 200 || !a.Whole || !strings.Contains(a.Body, `"value":"`+value+`"`) {
				t.Fatalf("a value of %d bytes: got the status %d and %d bytes, whole %t; want all of it", size, a.Status, len(a.Body), a.Whole)
			} else if _, found := a.Field("Connection"); found {
				t.Errorf("a value of %d bytes: got a field Connection on a connection that stays open", size)
			}
		}
	}
	if value, _ := ask("Connection: close\r\n").Field("Connection"); value != "close" {
		t.Errorf("the last answer: got Connection %q, want close", value)
	}
	if end := client.End(); end != proxytest.EndedWell {
		t.Errorf("behind the last answer: got the end %q, want %q", end, proxytest.EndedWell)
	}
}

func TestAWatchThatEtcdRefusesIsAnsweredAndTheConnectionGoesOn(t *testing.T) {
	const refusal = `{"errorCode":401,"message":"The event in requested index is outdated and cleared","index":9}`
	etcd := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("X-Etcd-Index", "9")
		w.WriteHeader(http.StatusBadRequest)
		_, _ = io.WriteString(w, refusal)
	}))
	t.Cleanup(etcd.Close)
	r := newRig(t, patientLimits)
	r.Exchange = lanetest.NewExchange(t, etcd.URL, patientLimits)
	client, _, _ := r.connect()
	for range 2 {
		if err := client.Send("GET /v2/keys" + watchedKey + "?wait=true&waitIndex=1 HTTP/1.1\r\nHost: h\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		if a, err := client.Answer("GET"); err != nil || a.Status != 400 || a.Body != refusal {
			t.Fatalf("a watch that etcd refuses: got %+v and the error %v, want its refusal", a, err)
		}
	}
	r.eventually("no watch runs", func() bool { return r.Exchange.Watches.Count() == 0 })
}

// TestTheBodyOfARefusedWriteIsNotTakenForARequest sends a body that looks like one, behind the refusal.
func TestTheBodyOfARefusedWriteIsNotTakenForARequest(t *testing.T) {
	r := newRig(t, patientLimits)
	client := r.start()
	const body = "GET /version HTTP/1.1\r\nHost: h\r\n\r\n"
	if err := client.Send("PUT /v2/keys/conftool/x HTTP/1.1\r\nHost: h\r\nContent-Length: " + strconv.Itoa(len(body)) + "\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	if a, err := client.Answer("PUT"); err != nil || a.Status != 401 {
		t.Fatalf("a write without a user: got %+v and the error %v, want the status 401", a, err)
	}
	if err := client.Send(body); err != nil {
		t.Fatal(err)
	}
	r.ask(client)
}

package std

import (
	"crypto/tls"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"etcd-tlsproxy/proxy/account"
	"etcd-tlsproxy/proxy/lane"
	"etcd-tlsproxy/proxy/proxytest"
	"etcd-tlsproxy/proxy/proxytest/lanetest"
)

const readRequest = "GET /v2/keys/a HTTP/1.1\r\nHost: h\r\n\r\n"

// raw opens a connection of HTTP/1.1.
func (r *rig) raw() (*proxytest.Raw, registeredConn) {
	r.t.Helper()
	client, err := proxytest.DialRaw(r.ln.Addr().String(), &tls.Config{RootCAs: r.pki.Pool(), ServerName: "localhost"})
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { client.Close() })
	return client, <-r.opened
}

// ask sends a request that is answered with 200.
func (r *rig) ask(client *proxytest.Raw) *proxytest.Answer {
	r.t.Helper()
	if err := client.Send(readRequest); err != nil {
		r.t.Fatal(err)
	}
	a, err := client.Answer("GET")
	if err != nil || a.Status != 200 || a.Body != "value" {
		r.t.Fatalf("reading a key: got %+v and the error %v, want the value", a, err)
	}
	return a
}

func TestAConnectionThatIsTakenBackNeedsNothingMore(t *testing.T) {
	atIdle, idle := countIdle()
	r := newRig(t, atIdle)
	client, served := r.raw()
	r.ask(client)
	<-idle
	if class := served.Class(); class != account.Silent {
		t.Errorf("a connection that waits for a request: got the class %v, want %v", class, account.Silent)
	}
	for _, class := range []account.Class{account.Stalled, account.Slow, account.Watching, account.Busy} {
		if served.CutIf(class) {
			t.Fatalf("a connection that waits for a request was cut as if its class were %v", class)
		}
	}
	r.ask(client)
	<-idle
	if !served.CloseIfIdle() || served.CloseIfIdle() {
		t.Error("an idle connection was not closed, or not once")
	}
	if class := served.Class(); class != account.Busy {
		t.Errorf("a connection that ends: got the class %v, want %v", class, account.Busy)
	}
	if end := client.End(); end != proxytest.EndedWell {
		t.Errorf("got the end %q, want %q", end, proxytest.EndedWell)
	}
	if err := r.conns.Wait(t.Context(), lane.Standard); err != nil {
		t.Error(err)
	}
}

func TestAMalformedRequestIsTheLastOfItsConnection(t *testing.T) {
	for _, before := range []int{0, 2} {
		r := newRig(t, func(*rig) {})
		client, _ := r.raw()
		for range before {
			r.ask(client)
		}
		if err := client.Send("GET /v2/keys/a HTTP/1.1\r\nHost: h\r\nHost: other\r\n\r\n" + readRequest); err != nil {
			t.Fatal(err)
		}
		if a, err := client.Answer("GET"); err != nil || a.Status != 400 {
			t.Errorf("a request with two hosts: got %+v and the error %v, want the status 400", a, err)
		}
		if rest, err := io.ReadAll(client.Conn); err != nil || len(rest) > 0 {
			t.Errorf("behind the refusal: got %q and the error %v, want the end", rest, err)
		}
		client.Close()
		if err := r.conns.Wait(t.Context(), lane.Standard); err != nil {
			t.Error(err)
		}
	}
}

// TestAWatchOfItsOwnEndsWithItsEvent has an etcd that ends watches with an event and without.
func TestAWatchOfItsOwnEndsWithItsEvent(t *testing.T) {
	for event, whole := range map[string]bool{`{"action":"set"}`: true, strings.Repeat("large", 20_000): true, "": false} {
		r := newRigBefore(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("X-Etcd-Index", "7")
			_ = http.NewResponseController(w).Flush()
			_, _ = io.WriteString(w, event)
		}, func(*rig) {})
		client, _ := r.raw()
		if err := client.Send("GET /v2/keys/a?wait=true&stream=true HTTP/1.1\r\nHost: h\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		a, err := client.Answer("GET")
		if err != nil || a.Status != 200 || a.Whole != whole || a.Body != event {
			t.Errorf("an event of %d bytes: got %d bytes, whole %t, and the error %v", len(event), len(a.Body), a.Whole, err)
		}
		if index, _ := a.Field("X-Etcd-Index"); index != "7" {
			t.Errorf("got the index %q, want 7", index)
		}
		client.Close()
		if err := r.conns.Wait(t.Context(), lane.Standard); err != nil {
			t.Error(err)
		}
		if n := r.exchange.Watches.Count(); n != 0 {
			t.Errorf("%d watches are registered, want none", n)
		}
	}
}

func TestAClientThatStopsInAHeadIsStalled(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(*rig) {})
	client, served := r.raw()
	r.ask(client)
	if err := client.Send(readRequest[:20]); err != nil {
		t.Fatal(err)
	}
	for limit := time.Now().Add(time.Minute); served.Class() != account.Stalled; time.Sleep(time.Millisecond) { //nolint:forbidigo // nothing signals the class
		if time.Now().After(limit) {
			t.Fatalf("after a minute: got the class %v, want %v", served.Class(), account.Stalled)
		}
	}
	if served.CloseIfIdle() {
		t.Error("a connection within a head was closed as if it waited for a request")
	}
}

func TestAnAnswerThatBreaksOffEndsTheConnection(t *testing.T) {
	const size = 5_000_000 // more than is received before it is sent on
	r := newRigBefore(t, func(w http.ResponseWriter, _ *http.Request) {
		for range size / 100_000 {
			_, _ = io.WriteString(w, strings.Repeat("x", 100_000))
		}
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	}, func(*rig) {})
	client, _ := r.raw()
	if err := client.Send(readRequest); err != nil {
		t.Fatal(err)
	}
	if a, err := client.Answer("GET"); err != nil || a.Status != 200 || a.Whole || len(a.Body) > size {
		t.Errorf("got %d bytes, whole %t, and the error %v; want a part of the body", len(a.Body), a.Whole, err)
	}
	client.Close()
	if err := r.conns.Wait(t.Context(), lane.Standard); err != nil {
		t.Error(err)
	}
}

// TestASharedWatchWaitsForItsEvent holds the event until the client has the head.
func TestASharedWatchWaitsForItsEvent(t *testing.T) {
	etcd, err := proxytest.StartEmbedded(proxytest.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(etcd.Close)
	r := newRig(t, func(*rig) {})
	limits := r.exchange.Current.Load().Limits
	*r.exchange = *lanetest.NewExchange(t, etcd.URL(), limits)
	client, served := r.raw()
	for _, value := range []string{"first", "second"} {
		if err := client.Send("GET /v2/keys/eventlogging/w?wait=true HTTP/1.1\r\nHost: h\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		head, err := client.Head()
		if err != nil || head.Status != 200 {
			t.Fatalf("the head of a watch: got %+v and the error %v", head, err)
		}
		if class := served.Class(); class != account.Watching && class != account.Busy {
			t.Errorf("a connection that watches: got the class %v", class)
		}
		write(t, etcd.URL()+"/v2/keys/eventlogging/w", value)
		if err := client.ReadBody(head, "GET"); err != nil || !head.Whole || !strings.Contains(head.Body, value) {
			t.Errorf("the event: got %+v and the error %v, want %s", head, err, value)
		}
	}
}

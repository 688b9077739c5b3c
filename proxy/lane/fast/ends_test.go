package fast

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"etcd-tlsproxy/proxy/account"
	"etcd-tlsproxy/proxy/lane"
	"etcd-tlsproxy/proxy/proxytest"
	"etcd-tlsproxy/proxy/proxytest/seed"
)

const noneRequest = "GET /v2/keys/none HTTP/1.1\r\nHost: h\r\n\r\n"

// ask sends a request for a missing key, and returns the head of the answer.
func (r *rig) ask(client *proxytest.Raw) *proxytest.Answer {
	r.t.Helper()
	if err := client.Send(noneRequest); err != nil {
		r.t.Fatal(err)
	}
	a, err := client.Answer("GET")
	if err != nil || a.Status != 404 {
		r.t.Fatalf("reading a missing key: got %+v and the error %v, want the status 404", a, err)
	}
	return a
}

// awaitEnd waits until the lane has no connections.
func (r *rig) awaitEnd(what string) {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), time.Minute)
	defer cancel()
	if err := r.Conns.Wait(ctx, lane.Fast); err != nil {
		r.t.Fatalf("%s: the connection is still registered after a minute", what)
	}
}

// readAtEtcd returns etcd's status for a key.
func (r *rig) readAtEtcd(key string) int {
	r.t.Helper()
	resp, err := http.Get(r.etcd.URL() + "/v2/keys" + key)
	if err != nil {
		r.t.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, resp.Body)
	resp.Body.Close()
	http.DefaultClient.CloseIdleConnections()
	return resp.StatusCode
}

const unfinishedWrite = "PUT /v2/keys/eventlogging/unfinished HTTP/1.1\r\nHost: h\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 9\r\n\r\nvalue="

func TestTheConnectionOfAClientThatLeavesEnds(t *testing.T) {
	r := newRig(t, patientLimits)
	for what, text := range map[string]string{"before its first request": "", "in a head": noneRequest[:20], "in a body": unfinishedWrite} {
		client, served, _ := r.connect()
		if err := client.Send(text); err != nil {
			t.Fatal(err)
		}
		if text != "" {
			r.eventually("a part of the request has arrived", func() bool {
				served.mu.Lock()
				defer served.mu.Unlock()
				return !served.partial.IsZero()
			})
		}
		client.Close()
		r.awaitEnd("a client that left " + what)
	}
	if status := r.readAtEtcd("/eventlogging/unfinished"); status != 404 {
		t.Errorf("the key of a write that did not arrive: got etcd's status %d, want 404", status)
	}
}

func TestAClientThatStopsInARequestIsEndedInTime(t *testing.T) {
	t.Parallel()
	limits := patientLimits
	limits.HeaderTimeout, limits.BodyTimeout = time.Second, time.Second
	r := newRig(t, limits)
	clients := make(map[string]*proxytest.Raw)
	for what, test := range map[string]struct {
		before bool // it has had a request
		text   string
	}{
		"before its first request": {},
		"in its first head":        {text: noneRequest[:20]},
		"in its second head":       {before: true, text: noneRequest[:20]},
		"in its first body":        {text: unfinishedWrite},
		"in its second body":       {before: true, text: unfinishedWrite},
	} {
		client := r.start()
		if test.before {
			r.ask(client)
		}
		if err := client.Send(test.text); err != nil {
			t.Fatal(err)
		}
		clients[what] = client
	}
	for what, client := range clients {
		if strings.Contains(what, "body") {
			if a, err := client.Answer("PUT"); err != nil || a.Status != 408 || !a.Whole {
				t.Errorf("a client that stops %s: got %+v and the error %v, want the status 408", what, a, err)
			}
		}
		if end := client.End(); end != proxytest.EndedWell {
			t.Errorf("a client that stops %s: got the end %q, want %q", what, end, proxytest.EndedWell)
		}
		client.Close()
	}
	r.awaitEnd("clients that stopped")
	if status := r.readAtEtcd("/eventlogging/unfinished"); status != 404 {
		t.Errorf("the key of a write that did not arrive: got etcd's status %d, want 404", status)
	}
}

// TestTheTimeForAHeadDoesNotEndTheWaitForTheNextRequest has a second connection, which shows that
// the time has passed.
func TestTheTimeForAHeadDoesNotEndTheWaitForTheNextRequest(t *testing.T) {
	t.Parallel()
	limits := patientLimits
	limits.HeaderTimeout, limits.BodyTimeout = 2*time.Second, 2*time.Second
	r := newRig(t, limits)
	read, wrote, late := r.start(), r.start(), r.start()
	r.ask(read)
	// In pieces, so that the lane has to wait for the rest.
	if err := late.Send(noneRequest[:20]); err != nil {
		t.Fatal(err)
	}
	if err := late.Send(noneRequest[20:]); err != nil {
		t.Fatal(err)
	}
	if a, err := late.Answer("GET"); err != nil || a.Status != 404 {
		t.Fatalf("a head in pieces: got %+v and the error %v, want the status 404", a, err)
	}
	if err := wrote.Send(unfinishedWrite); err != nil {
		t.Fatal(err)
	}
	if err := wrote.Send("xyz"); err != nil {
		t.Fatal(err)
	}
	if a, err := wrote.Answer("PUT"); err != nil || a.Status != 201 {
		t.Fatalf("a body in pieces: got %+v and the error %v, want the status 201", a, err)
	}
	stopped := r.start()
	if end := stopped.End(); end != proxytest.EndedWell {
		t.Fatalf("a client without a request: got the end %q, want %q", end, proxytest.EndedWell)
	}
	for _, client := range []*proxytest.Raw{read, wrote, late} {
		r.ask(client)
	}
}

// start is connect for a test that needs only the client.
func (r *rig) start() *proxytest.Raw {
	r.t.Helper()
	client, _, _ := r.connect()
	return client
}

func TestAConnectionThatIsIdleForTooLongEnds(t *testing.T) {
	t.Parallel()
	r := newRig(t, patientLimits)
	r.IdleTimeout = 200 * time.Millisecond
	client := r.start()
	for range 3 {
		r.ask(client)
	}
	if end := client.End(); end != proxytest.EndedWell {
		t.Errorf("an idle connection: got the end %q, want %q", end, proxytest.EndedWell)
	}
}

func TestADrainEndsIdleConnectionsAndAnswersTheFirstRequestOfNewOnes(t *testing.T) {
	t.Parallel()
	r := newRig(t, patientLimits)
	idle, fresh := r.start(), r.start()
	r.ask(idle)
	r.eventually("both connections wait", func() bool {
		n := 0
		for _, c := range r.served {
			if c.Class() == account.Silent {
				n++
			}
		}
		return n == 2
	})
	r.Conns.StartDrain()
	for _, what := range []string{"a connection without a request", "a connection that starts"} {
		client := fresh
		if what == "a connection that starts" {
			client = r.start()
		}
		if value, _ := r.ask(client).Field("Connection"); value != "close" {
			t.Errorf("%s: got Connection %q with the answer, want close", what, value)
		}
		if end := client.End(); end != proxytest.EndedWell {
			t.Errorf("%s: got the end %q behind the answer, want %q", what, end, proxytest.EndedWell)
		}
	}
	if end := idle.End(); end != proxytest.EndedWell {
		t.Errorf("an idle connection: got the end %q, want %q", end, proxytest.EndedWell)
	}
	if end := r.start().End(); end != proxytest.EndedWell { // after the short time that a drain leaves
		t.Errorf("a connection that starts and sends nothing: got the end %q, want %q", end, proxytest.EndedWell)
	}
	r.Conns.StopDrain()
	client := r.start()
	r.ask(client)
	r.ask(client)
}

func TestAConnectionThatWaitsIsTakenBackOnlyAsSilent(t *testing.T) {
	r := newRig(t, patientLimits)
	client, served, _ := r.connect()
	r.ask(client)
	r.eventually("the connection waits", func() bool { return served.Class() == account.Silent })
	for _, class := range []account.Class{account.Stalled, account.Slow, account.Watching, account.Busy} {
		if served.CutIf(class) {
			t.Fatalf("a connection that waits for a request was cut as if its class were %v", class)
		}
	}
	r.ask(client)
	r.eventually("the connection waits again", func() bool { return served.Class() == account.Silent })
	if !served.CloseIfIdle() {
		t.Error("a connection that waits for a request was not closed")
	}
	if served.CloseIfIdle() {
		t.Error("a connection was closed twice")
	}
	if class := served.Class(); class != account.Busy {
		t.Errorf("a connection that ends: got the class %v, want %v, because it needs nothing more to be taken back", class, account.Busy)
	}
	if end := client.End(); end != proxytest.EndedWell {
		t.Errorf("got the end %q, want %q", end, proxytest.EndedWell)
	}
}

func TestAStalledClientIsCut(t *testing.T) {
	t.Parallel()
	r := newRig(t, patientLimits)
	client, served, closed := r.connect()
	if err := client.Send(noneRequest[:20]); err != nil {
		t.Fatal(err)
	}
	r.eventually("the client is stalled", func() bool { return served.Class() == account.Stalled })
	if served.CloseIfIdle() {
		t.Error("a connection within a head was closed as if it waited for a request")
	}
	if served.CutIf(account.Silent) || !served.CutIf(account.Stalled) || served.CutIf(account.Stalled) {
		t.Error("a stalled client was cut as if it were silent, or not once")
	}
	<-closed
}

// TestABugEndsOnlyItsConnection has a lane whose connections cannot be handed over.
func TestABugEndsOnlyItsConnection(t *testing.T) {
	r := newRig(t, patientLimits)
	r.HandOver = nil
	other := r.start()
	client, _, closed := r.connect()
	if err := client.Send("OPTIONS /v2/keys/none HTTP/1.1\r\nHost: h\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	<-closed
	r.ask(other)
	other.Close()
	r.awaitEnd("a connection that a bug ended")
}

func TestALargeHeadIsLeftToTheStandardLaneOnceItIsTooLarge(t *testing.T) {
	limits := patientLimits
	limits.Head = 40_000
	r := newRig(t, limits)
	handed := r.keepHandedOver()
	long := "GET /v2/keys/none HTTP/1.1\r\nHost: h\r\nAuthorization: " + seed.Basic("root") + "\r\nX-Pad: "
	client := r.start()
	if err := client.Send(long + strings.Repeat("x", 39_000) + "\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	if a, err := client.Answer("GET"); err != nil || a.Status != 404 {
		t.Errorf("a head within the limit: got %+v and the error %v, want the status 404", a, err)
	}
	r.ask(client)
	if err := client.Send(long + strings.Repeat("x", 41_000) + "\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	if got := <-handed; !strings.HasPrefix(got, long) || len(got) < 40_000 {
		t.Errorf("a head above the limit: got %d bytes handed over, want at least the limit", len(got))
	}
}

package fast

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"etcd-tlsproxy/proxy/account"
	"etcd-tlsproxy/proxy/lane"
	"etcd-tlsproxy/proxy/proxytest"
)

// ends returns how many watches have ended for each reason.
func (r *rig) ends() map[string]int {
	r.t.Helper()
	families, err := r.Exchange.Observer.Metrics.Registry.Gather()
	if err != nil {
		r.t.Fatal(err)
	}
	ends := make(map[string]int)
	for _, f := range families {
		if f.GetName() != "etcd_tlsproxy_watches_ended_total" {
			continue
		}
		for _, m := range f.GetMetric() {
			if n := int(m.GetCounter().GetValue()); n > 0 {
				ends[m.GetLabel()[0].GetValue()] = n
			}
		}
	}
	return ends
}

// awaitWatchEnd waits until no watch runs, and checks why the only one has ended.
func (r *rig) awaitWatchEnd(reason string) {
	r.t.Helper()
	r.eventually("no watch runs", func() bool { return r.Exchange.Watches.Count() == 0 })
	r.eventually("the only watch has ended because of: "+reason, func() bool {
		ends := r.ends()
		return ends[reason] == 1 && len(ends) == 1
	})
}

func TestAWatchEndsWithItsClient(t *testing.T) {
	r := newRig(t, patientLimits)
	client, _, _, _ := r.watch()
	client.Close()
	r.awaitWatchEnd("client")
	r.awaitEnd("a client that left its watch")
}

func TestTheLastWatchOfAConnectionGetsItsEvent(t *testing.T) {
	for _, value := range []string{"small", strings.Repeat("large", 10_000)} {
		r := newRig(t, patientLimits)
		client, served, _ := r.connect()
		if err := client.Send("GET /v2/keys" + watchedKey + "?wait=true HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		head, err := client.Head()
		if value, _ := head.Field("Connection"); err != nil || value != "close" {
			t.Fatalf("the head of the watch: got %+v and the error %v, want Connection: close", head, err)
		}
		r.eventually("the connection watches", func() bool { return served.Class() == account.Watching })
		r.write(value)
		if err := client.ReadBody(head, "GET"); err != nil || !head.Whole || !strings.Contains(head.Body, `"value":"`+value+`"`) {
			t.Errorf("the event: got %d bytes, whole %t, and the error %v", len(head.Body), head.Whole, err)
		}
		if end := client.End(); end != proxytest.EndedWell {
			t.Errorf("behind the event: got the end %q, want %q", end, proxytest.EndedWell)
		}
		r.awaitWatchEnd("event")
	}
}

// TestRequestsBehindAWatchAreAnsweredBehindItsEvent sends them before the event, few and so many
// that the buffer of a waiting connection is full.
func TestRequestsBehindAWatchAreAnsweredBehindItsEvent(t *testing.T) {
	t.Parallel()
	for _, n := range []int{1, 2, 40} {
		for _, value := range []string{"small", strings.Repeat("large", 10_000)} {
			r := newRig(t, patientLimits)
			client, head, served, _ := r.watch()
			if err := client.Send(strings.Repeat(noneRequest, n-1) + noneRequest[:20]); err != nil {
				t.Fatal(err)
			}
			r.eventually("the requests have arrived", func() bool {
				served.mu.Lock()
				defer served.mu.Unlock()
				return served.watch.state == deferred
			})
			r.write(value)
			if err := client.ReadBody(head, "GET"); err != nil || !head.Whole || !strings.Contains(head.Body, `"value":"`+value+`"`) {
				t.Fatalf("the event: got %d bytes, whole %t, and the error %v", len(head.Body), head.Whole, err)
			}
			if err := client.Send(noneRequest[20:]); err != nil {
				t.Fatal(err)
			}
			for i := range n {
				if a, err := client.Answer("GET"); err != nil || a.Status != 404 {
					t.Fatalf("request %d of %d behind the watch: got %+v and the error %v, want the status 404", i, n, a, err)
				}
			}
			r.ask(client)
			r.awaitWatchEnd("event")
		}
	}
}

func TestAClientThatSendsTooMuchBehindItsWatchIsEnded(t *testing.T) {
	t.Parallel()
	r := newRig(t, patientLimits)
	client, _, _, closed := r.watch()
	sent := make(chan error, 1)
	go func() { sent <- client.Send(strings.Repeat(noneRequest, 1<<20/len(noneRequest))) }()
	r.awaitWatchEnd("client")
	<-closed
	<-sent // an error or not
}

func TestAWatchIsTakenBackOnceAndForItsFirstReason(t *testing.T) {
	t.Parallel()
	r := newRig(t, patientLimits)
	client, head, served, _ := r.watch()
	for _, class := range []account.Class{account.Silent, account.Stalled, account.Slow, account.Busy} {
		if served.CutIf(class) {
			t.Fatalf("a watch was taken back as if its class were %v", class)
		}
	}
	served.mu.Lock()
	served.watch.endLocked(lane.ErrShort)
	served.watch.endLocked(lane.ErrGone)
	served.mu.Unlock()
	r.awaitWatchEnd("shed")
	if err := client.ReadBody(head, "GET"); err != nil || head.Whole {
		t.Errorf("a watch without its event: got %+v and the error %v, want an answer that is broken off", head, err)
	}
	r.awaitEnd("a watch that was taken back")
}

func TestAWatchThatIsTakenBackEndsItsConnection(t *testing.T) {
	r := newRig(t, patientLimits)
	client, head, served, closed := r.watch()
	if !served.CutIf(account.Watching) {
		t.Fatalf("a watch was not taken back; its class is %v", served.Class())
	}
	if class := served.Class(); class != account.Busy {
		t.Errorf("a watch that ends: got the class %v, want %v", class, account.Busy)
	}
	if err := client.ReadBody(head, "GET"); err != nil || head.Whole {
		t.Errorf("a watch without its event: got %+v and the error %v, want an answer that is broken off", head, err)
	}
	client.Close()
	<-closed
	r.awaitWatchEnd("shed")
}

func TestADrainEndsWatchesAndTheirConnections(t *testing.T) {
	r := newRig(t, patientLimits)
	client, head, _, _ := r.watch()
	r.Conns.StartDrain()
	r.Exchange.Watches.Drain()
	if err := client.ReadBody(head, "GET"); err != nil || head.Whole {
		t.Errorf("a watch without its event: got %+v and the error %v, want an answer that is broken off", head, err)
	}
	client.Close()
	r.awaitEnd("a watch that was drained")
	r.awaitWatchEnd("drain")
	// Its client connects again, and is refused.
	client = r.start()
	if err := client.Send("GET /v2/keys" + watchedKey + "?wait=true HTTP/1.1\r\nHost: h\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	if a, err := client.Answer("GET"); err != nil || a.Status != 503 {
		t.Errorf("a watch during the drain: got %+v and the error %v, want the status 503", a, err)
	}
}

func TestAnEventDuringADrainIsTheLastAnswer(t *testing.T) {
	for _, value := range []string{"small", strings.Repeat("large", 10_000)} {
		r := newRig(t, patientLimits)
		client, head, _, _ := r.watch()
		r.Conns.StartDrain()
		r.write(value)
		if err := client.ReadBody(head, "GET"); err != nil || !head.Whole || !strings.Contains(head.Body, `"value":"`+value+`"`) {
			t.Errorf("the event: got %d bytes, whole %t, and the error %v", len(head.Body), head.Whole, err)
		}
		if end := client.End(); end != proxytest.EndedWell {
			t.Errorf("behind the event: got the end %q, want %q", end, proxytest.EndedWell)
		}
		r.awaitWatchEnd("event")
	}
}

// TestAWatchOutlastsTheTimeOfAnIdleConnection has a second connection, which shows that the time
// has passed.
func TestAWatchOutlastsTheTimeOfAnIdleConnection(t *testing.T) {
	t.Parallel()
	limits := patientLimits
	limits.HeaderTimeout = time.Second
	r := newRig(t, limits)
	r.IdleTimeout = time.Second
	client, head, _, _ := r.watch()
	idle := r.start()
	r.ask(idle)
	if end := idle.End(); end != proxytest.EndedWell {
		t.Fatalf("an idle connection: got the end %q, want %q", end, proxytest.EndedWell)
	}
	r.write("event")
	if err := client.ReadBody(head, "GET"); err != nil || !head.Whole || !strings.Contains(head.Body, `"event"`) {
		t.Errorf("the event: got %+v and the error %v", head, err)
	}
	// Behind its event the connection is idle like any other.
	if end := client.End(); end != proxytest.EndedWell {
		t.Errorf("behind the event: got the end %q, want %q", end, proxytest.EndedWell)
	}
	r.awaitWatchEnd("event")
}

func TestAConnectionBehindAnEventIsIdle(t *testing.T) {
	t.Parallel()
	r := newRig(t, patientLimits)
	client, head, served, _ := r.watch()
	if served.CloseIfIdle() {
		t.Fatal("a connection that watches was closed as if it were idle")
	}
	r.write("event")
	if err := client.ReadBody(head, "GET"); err != nil || !head.Whole {
		t.Fatalf("the event: got %+v and the error %v", head, err)
	}
	r.eventually("the connection waits for its next request", func() bool { return served.Class() == account.Silent })
	r.Conns.StartDrain()
	if end := client.End(); end != proxytest.EndedWell {
		t.Errorf("got the end %q, want %q", end, proxytest.EndedWell)
	}
	r.awaitEnd("a drained connection")
}

func TestOneConnectionWatchesAgainAndAgain(t *testing.T) {
	r := newRig(t, patientLimits)
	client, head, served, _ := r.watch()
	for i := range 20 {
		value := fmt.Sprintf("event %d", i)
		r.write(value)
		if err := client.ReadBody(head, "GET"); err != nil || !head.Whole || !strings.Contains(head.Body, value) {
			t.Fatalf("event %d: got %+v and the error %v", i, head, err)
		}
		if err := client.Send("GET /v2/keys" + watchedKey + "?wait=true HTTP/1.1\r\nHost: h\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		var err error
		if head, err = client.Head(); err != nil || head.Status != 200 {
			t.Fatalf("watch %d: got %+v and the error %v", i, head, err)
		}
		r.eventually("the watch waits", func() bool {
			served.mu.Lock()
			defer served.mu.Unlock()
			return served.watch != nil && served.watch.state == waiting
		})
	}
	if n := r.Exchange.Watches.Count(); n != 1 {
		t.Errorf("%d watches are registered, want 1", n)
	}
}

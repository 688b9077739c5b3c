package std

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"etcd-tlsproxy/proxy/gate"
	"etcd-tlsproxy/proxy/lane"
	"etcd-tlsproxy/proxy/observe"
	"etcd-tlsproxy/proxy/proxytest"
	"etcd-tlsproxy/proxy/proxytest/lanetest"
	"etcd-tlsproxy/proxy/proxytest/seed"
)

func TestMain(m *testing.M) {
	proxytest.WaitTogether()
	goleak.VerifyTestMain(m)
}

func TestARightThatIsGoneCountsBeforeAnEventThatIsHere(t *testing.T) {
	etcd, err := proxytest.StartEmbedded(proxytest.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(etcd.Close)
	x := lanetest.NewExchange(t, etcd.URL(), lane.Limits{BodyTimeout: time.Minute})
	snapshot := x.Current.Load()
	r := httptest.NewRequest("GET", "/v2/keys/eventlogging/w?wait=true", nil)
	rec := &observe.Record{Peer: seed.Peer()}
	req := &gate.Request{Method: r.Method, Target: r.RequestURI, Peer: rec.Peer}
	if refusal := x.Decide(r.Context(), snapshot, req, rec); refusal != nil {
		t.Fatalf("the watch was refused: %+v", refusal)
	}
	w := &slowHead{ResponseRecorder: httptest.NewRecorder(), out: func() {
		// Only the head has been sent. Now the right is revoked, and then the event arrives.
		x.Watches.Drain()
		write(t, etcd.URL()+"/v2/keys/eventlogging/w", "secret")
		for limit := time.Now().Add(time.Minute); x.Observer.Metrics.Watches.Delivered.Load() == 0; time.Sleep(time.Millisecond) { //nolint:forbidigo // a metric signals nothing
			if time.Now().After(limit) {
				t.Fatal("after a minute the event was not delivered")
			}
		}
	}}
	q := &request{server: &Server{exchange: x}, w: w, r: r, conn: &connection{peer: rec.Peer}, snapshot: snapshot, rec: rec, task: task{work: &work{}}}
	func() {
		defer func() {
			if got, _ := recover().(error); !errors.Is(got, http.ErrAbortHandler) {
				t.Errorf("the watch ended with %v, want a broken answer", got)
			}
		}()
		q.watch()
	}()
	if w.Body.Len() > 0 {
		t.Errorf("the client got %q, want no event", w.Body)
	}
}

// slowHead is a client that receives the head slowly.
type slowHead struct {
	*httptest.ResponseRecorder
	out func()
}

func (w *slowHead) FlushError() error {
	if out := w.out; out != nil {
		w.out = nil
		out()
	}
	return nil
}

func (w *slowHead) SetWriteDeadline(time.Time) error { return nil }

// write sets a key at etcd itself.
func write(t *testing.T, target, value string) {
	t.Helper()
	req, err := http.NewRequestWithContext(context.Background(), "PUT", target, strings.NewReader(url.Values{"value": {value}}.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Close = true
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, resp.Body)
	resp.Body.Close()
}

package std

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"

	"etcd-tlsproxy/proxy/lane"
)

// slowBody is a body of which a byte arrives every 9 seconds.
type slowBody struct{ io.Reader }

func (b slowBody) Read(p []byte) (int, error) {
	time.Sleep(9 * time.Second) //nolint:forbidigo // of synctest
	return b.Reader.Read(p[:1])
}

// TestAClientThatTransfersSlowlyHasEverLessTime looks at the time that is left for the second byte, of 10
// seconds for the first one.
func TestAClientThatTransfersSlowlyHasEverLessTime(t *testing.T) {
	limits := lane.Limits{Body: 100, BodyTimeout: 10 * time.Second}
	for what, transfer := range map[string]func(w *deadlines, r *http.Request) []time.Time{
		"receiving a body": func(w *deadlines, r *http.Request) []time.Time {
			bs := newBodies(1 << 20)
			b, _ := bs.receive(w, r, &limits, bs.payer)
			b.free()
			return w.read
		},
		"dropping a body": func(w *deadlines, r *http.Request) []time.Time {
			q := &request{w: w, r: r, snapshot: &lane.Snapshot{Limits: limits}, task: task{work: &work{}}}
			q.dropBody()
			return w.read
		},
		"discarding a body": func(w *deadlines, r *http.Request) []time.Time {
			discard(http.NewResponseController(w), r.Body, &limits, false)
			return w.read
		},
		"sending an answer": func(*deadlines, *http.Request) []time.Time {
			c, q := newSlowClient(1)
			q.snapshot.Limits = limits
			c.pause = 9 * time.Second
			s := q.newSender()
			for range 2 {
				if err := s.send([]byte("x"), false); err != nil {
					t.Error(err)
				}
			}
			return []time.Time{c.write[0], c.write[2]} // between them it is removed
		},
	} {
		synctest.Test(t, func(t *testing.T) {
			start := time.Now()
			r := upload(slowBody{bytes.NewReader(make([]byte, 3))}, 3)
			got := transfer(&deadlines{ResponseRecorder: httptest.NewRecorder()}, r)
			first, second := got[0].Sub(start), got[1].Sub(start)-9*time.Second
			if first != 10*time.Second || second < time.Second || second > 1100*time.Millisecond {
				t.Errorf("%s: got %v for the first byte and %v for the second, want 10s and little more than 1s", what, first, second)
			}
		})
	}
}

package std

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"reflect"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"etcd-tlsproxy/proxy/http1"
	"etcd-tlsproxy/proxy/lane"
	"etcd-tlsproxy/proxy/rawio"
)

// slowClient is a client that takes a second for each piece.
type slowClient struct {
	deadlines
	pause  time.Duration
	task   *task
	pieces []int
	phases []phase // while it takes them
}

func (c *slowClient) Write(p []byte) (int, error) {
	time.Sleep(c.pause) //nolint:forbidigo // of synctest
	c.pieces, c.phases = append(c.pieces, len(p)), append(c.phases, c.task.now)
	return len(p), nil
}

// newSlowClient returns a client, and the request that it is answered to.
func newSlowClient(proto int) (*slowClient, *request) {
	r := httptest.NewRequest("GET", "/v2/keys/a", nil)
	r.ProtoMajor = proto
	c := &slowClient{deadlines: deadlines{ResponseRecorder: httptest.NewRecorder()}, pause: time.Second}
	q := &request{w: c, r: r, snapshot: &lane.Snapshot{Limits: lane.Limits{BodyTimeout: bodyTimeout}}, task: task{work: &work{}}}
	c.task = &q.task
	q.task.enter(working)
	return c, q
}

func TestEachPieceOfAnAnswerHasADeadlineAndNothingBehindIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, q := newSlowClient(1)
		start := time.Now()
		if err := q.newSender().send(make([]byte, 2*rawio.MaxCorked+1), false); err != nil {
			t.Fatal(err)
		}
		if len(c.pieces) != 3 || c.pieces[0] != rawio.MaxCorked || c.pieces[1] != rawio.MaxCorked || c.pieces[2] != 1 {
			t.Errorf("got pieces of %v bytes, want two of %d and one of 1", c.pieces, rawio.MaxCorked)
		}
		for i, p := range c.phases {
			if want := start.Add(time.Duration(i)*time.Second + bodyTimeout); p != sending || !c.write[i].Equal(want) {
				t.Errorf("piece %d: got the phase %v and the deadline %v, want %v and %v", i+1, p, c.write[i], sending, want)
			}
		}
		if last := c.write[len(c.write)-1]; !last.IsZero() || q.task.now != working || c.Flushed {
			t.Errorf("behind the answer: got the deadline %v, the phase %v and flushed %t; want none, %v and false", last, q.task.now, c.Flushed, working)
		}
	})
}

func TestAnAnswerThatWasTakenBackIsNotSent(t *testing.T) {
	for _, conn := range []*connection{{}, {strict: &strictConn{}}} {
		c, q := newSlowClient(2)
		q.conn = conn
		q.BreakOff()
		if len(c.write) != 1 || !c.write[0].Before(time.Now()) || conn.strict != nil && !conn.strict.broken.Load() {
			t.Errorf("taking it back: got the deadlines %v, want one that has passed, and a connection on HTTP/1 that knows", c.write)
		}
		if err := q.newSender().send([]byte("value"), true); !errors.Is(err, lane.ErrBrokenOff) || len(c.pieces) > 0 || c.Flushed {
			t.Errorf("got the error %v, pieces of %v bytes and flushed %t; want %v and none", err, c.pieces, c.Flushed, lane.ErrBrokenOff)
		}
	}
}

func TestTheClientOfARefusedStreamHasLittleTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, q := newSlowClient(2)
		q.refused = true
		if err := q.newSender().send([]byte("refused"), true); err != nil || !c.write[0].Equal(time.Now().Add(refusalPatience-time.Second)) {
			t.Errorf("got the error %v and the deadline %v, want %v after the start", err, c.write[0], refusalPatience)
		}
	})
}

// Net/http sends what it holds at the end of a handler, on HTTP/2 without a deadline.
func TestOnlyTheLastPieceOnHTTP2IsFlushed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, test := range []struct {
			proto      int
			last, want bool
		}{{1, false, false}, {2, false, false}, {2, true, true}} {
			c, q := newSlowClient(test.proto)
			if err := q.newSender().write([]byte("value"), test.last); err != nil || c.Flushed != test.want {
				t.Errorf("HTTP/%d, the last piece %t: got the error %v and flushed %t, want %t", test.proto, test.last, err, c.Flushed, test.want)
			}
		}
	})
}

func TestWhatAnAnswerOfHTTP2HoldsIsCharged(t *testing.T) {
	for body, want := range map[int]int{0: 0, 4 << 10: 0, 4<<10 + 1: 32 << 10, 32 << 10: 32 << 10, 32<<10 + 1: 64 << 10, 4 << 20: 64 << 10} {
		if got := waitingBytes(body); got != want {
			t.Errorf("an answer of %d bytes: got %d charged, want %d", body, got, want)
		}
	}
}

func TestABodyThatEtcdDoesNotReadIsDroppedUpToItsLimit(t *testing.T) {
	for what, test := range map[string]struct {
		size, length, limit int64
		status              int // of the refusal; 0 for none
	}{
		"64 KiB":                        {64 << 10, 64 << 10, 1 << 20, 0},
		"64 KiB in chunks":              {64 << 10, -1, 1 << 20, 0},
		"more than 64 KiB":              {0, 64<<10 + 1, 1 << 20, 413},
		"more than 64 KiB in chunks":    {64<<10 + 1, -1, 1 << 20, 413},
		"the limit of bodies":           {100, 100, 100, 0},
		"more than the limit":           {0, 101, 100, 413},
		"more than the limit in chunks": {101, -1, 100, 413},
		"a body that breaks off":        {50, 100, 100, 400},
	} {
		w := &deadlines{ResponseRecorder: httptest.NewRecorder()}
		r := upload(bytes.NewReader(make([]byte, test.size)), test.length)
		if test.status == 400 {
			r.Body = io.NopCloser(io.MultiReader(r.Body, iotest.ErrReader(io.ErrUnexpectedEOF)))
		}
		q := &request{w: w, r: r, snapshot: &lane.Snapshot{Limits: lane.Limits{Body: test.limit, BodyTimeout: bodyTimeout}}, task: task{work: &work{}}}
		q.task.enter(working)
		refusal := q.dropBody()
		if got := refusal; (got == nil) != (test.status == 0) || got != nil && got.Status != test.status {
			t.Errorf("%s: got the refusal %+v, want the status %d", what, got, test.status)
		}
		if len(w.read) > 0 && !w.read[len(w.read)-1].IsZero() || q.task.now != working {
			t.Errorf("%s: got the deadlines %v and the phase %v, want none left and %v", what, w.read, q.task.now, working)
		}
	}
}

func TestAnAnswerHasTheFieldsOfEtcdInItsSpellingButThoseOfItsConnection(t *testing.T) {
	fields := []http1.Field{{Name: "X-Etcd-Index", Value: "7"}, {Name: "x-two", Value: "a"}, {Name: "x-two", Value: "b"}, {Name: "Connection", Value: "close"}, {Name: "Content-Length", Value: "9"}}
	for _, test := range []struct {
		kind   []http1.Field
		length int64
		want   http.Header
	}{
		{nil, 5, http.Header{"X-Etcd-Index": {"7"}, "x-two": {"a", "b"}, "Content-Length": {"5"}, "Content-Type": nil}},
		{nil, 0, http.Header{"X-Etcd-Index": {"7"}, "x-two": {"a", "b"}, "Content-Length": {"0"}, "Content-Type": nil}},
		{[]http1.Field{{Name: "Content-Type", Value: "application/json"}}, -1, http.Header{"X-Etcd-Index": {"7"}, "x-two": {"a", "b"}, "Content-Type": {"application/json"}}},
	} {
		got := make(http.Header)
		copyHeader(got, append(test.kind, fields...), test.length)
		if !reflect.DeepEqual(got, test.want) {
			t.Errorf("a body of %d bytes: got %v, want %v", test.length, got, test.want)
		}
	}
}

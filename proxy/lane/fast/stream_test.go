package fast

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"

	"etcd-tlsproxy/acl"
	"etcd-tlsproxy/proxy/account"
	"etcd-tlsproxy/proxy/gate"
	"etcd-tlsproxy/proxy/observe"
	"etcd-tlsproxy/proxy/proxytest"
	"etcd-tlsproxy/proxy/proxytest/lanetest"
	"etcd-tlsproxy/proxy/proxytest/seed"
)

// newRigBefore returns a rig before a stand-in for etcd, for answers that no etcd gives.
func newRigBefore(t *testing.T, etcd http.HandlerFunc) *rig {
	t.Helper()
	standIn := httptest.NewServer(etcd)
	t.Cleanup(standIn.Close)
	r := newRig(t, patientLimits)
	r.Exchange = lanetest.NewExchange(t, standIn.URL, patientLimits)
	return r
}

// text returns a body of a size, in which no two parts of a record are equal.
func text(size int) string {
	var b strings.Builder
	for i := 0; b.Len() < size; i++ {
		fmt.Fprintf(&b, "%d,", i)
	}
	return b.String()[:size]
}

// answerAsAsked is an etcd that answers as the query says: a body of a size, with its length or
// without, in pieces, and behind a field that makes the head longer.
func answerAsAsked(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	number := func(name string) int { n, _ := strconv.Atoi(q.Get(name)); return n }
	body := text(number("size"))
	if n := number("head"); n > 0 {
		w.Header().Set("X-Long", strings.Repeat("h", n))
	}
	if q.Get("length") != "" {
		w.Header().Set("Content-Length", q.Get("length"))
	}
	if n := number("status"); n > 0 {
		w.WriteHeader(n)
	}
	for piece := max(1, number("piece")); len(body) > 0; {
		n, _ := io.WriteString(w, body[:min(piece, len(body))])
		body = body[n:]
		_ = http.NewResponseController(w).Flush()
	}
	if q.Get("break") != "" {
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	}
}

func TestAnAnswerOfAnyFramingArrivesWhole(t *testing.T) {
	t.Parallel()
	r := newRigBefore(t, answerAsAsked)
	client := r.start()
	ask := func(method, query string) *proxytest.Answer {
		t.Helper()
		if err := client.Send(method + " /v2/keys/a?" + query + " HTTP/1.1\r\nHost: h\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		a, err := client.Answer(method)
		if err != nil {
			t.Fatalf("%s %s: %v", method, query, err)
		}
		return a
	}
	for _, size := range []int{0, 1, 5, 900, 15_340, 15_353, 15_354, 15_355, 16_384, 40_000, 300_000} {
		for _, head := range []int{0, 700, 900, 1100, 20_000} {
			for _, length := range []string{"", strconv.Itoa(size)} {
				query := fmt.Sprintf("size=%d&piece=10000&head=%d&length=%s", size, head, length)
				a := ask("GET", query)
				if a.Status != 200 || !a.Whole || a.Body != text(size) {
					t.Errorf("%s: got the status %d and %d bytes, whole %t; want the body", query, a.Status, len(a.Body), a.Whole)
				}
				if long, _ := a.Field("X-Long"); len(long) != head {
					t.Errorf("%s: got a field of %d bytes", query, len(long))
				}
				if coding, chunked := a.Field("Transfer-Encoding"); chunked && (length != "" || coding != "chunked") {
					t.Errorf("%s: got Transfer-Encoding %q beside a length", query, coding)
				}
			}
		}
	}
	for query, want := range map[string]string{"length=1234": "1234", "length=": ""} {
		a := ask("HEAD", query)
		if got, _ := a.Field("Content-Length"); got != want && want != "" {
			t.Errorf("HEAD %s: got the length %q, want %q", query, got, want)
		}
		if _, chunked := a.Field("Transfer-Encoding"); chunked {
			t.Errorf("HEAD %s: got a Transfer-Encoding though no body follows", query)
		}
	}
	for _, status := range []string{"204", "304"} {
		a := ask("GET", "status="+status)
		if _, chunked := a.Field("Transfer-Encoding"); chunked || strconv.Itoa(a.Status) != status {
			t.Errorf("got %+v, want the status %s without a Transfer-Encoding, because no body follows", a, status)
		}
	}
	if a := ask("GET", "size=3&piece=3"); a.Body != text(3) {
		t.Errorf("the last request: got %+v, want its body", a)
	}
}

func TestAnAnswerThatBreaksOffEndsTheConnection(t *testing.T) {
	t.Parallel()
	r := newRigBefore(t, answerAsAsked)
	for _, query := range []string{"size=5000000&piece=100000&break=1", "size=5000000&piece=100000&length=6000000&break=1"} {
		client := r.start()
		if err := client.Send("GET /v2/keys/a?" + query + " HTTP/1.1\r\nHost: h\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		if a, err := client.Answer("GET"); err != nil || a.Status != 200 || a.Whole || !strings.HasPrefix(text(5_000_000), a.Body) {
			t.Errorf("%s: got %d bytes, whole %t, and the error %v; want a part of the body", query, len(a.Body), a.Whole, err)
		}
		client.Close()
		r.awaitEnd("an answer that broke off")
	}
}

// records keeps the access log.
type records struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *records) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

// record is the part of an entry that a test compares.
type record struct {
	Method        string
	Status        int
	Bytes         int
	Shared, Watch bool
	ID            string
	UserAgent     string `json:"user_agent"`
	Upstream      bool   `json:"-"`
}

// next returns the next entry.
func (l *records) next(r *rig) (entry record) {
	r.t.Helper()
	r.eventually("the request is in the access log", func() bool {
		l.mu.Lock()
		defer l.mu.Unlock()
		line, err := l.text.ReadBytes('\n')
		if err != nil {
			return false
		}
		var times struct {
			Upstream float64 `json:"upstream_seconds"`
		}
		if json.Unmarshal(line, &entry) != nil || json.Unmarshal(line, &times) != nil {
			r.t.Fatalf("%q is no entry", line)
		}
		entry.Upstream = times.Upstream > 0
		return true
	})
	return entry
}

func TestARequestIsRecordedWithWhatItsClientGot(t *testing.T) {
	log := &records{}
	r := newRigBefore(t, answerAsAsked)
	r.Exchange.Observer = observe.New(r.Exchange.Observer.Metrics, observe.NewRecords(observe.RecordOptions{Access: log, JSON: true}))
	client := r.start()
	for _, test := range []struct {
		method, target, fields string
		want                   record
	}{
		{"GET", "/v2/keys/a?size=5&length=5", "X-Request-Id: mine-7\r\nUser-Agent: test/1\r\n", record{Status: 200, Bytes: 5, ID: "mine-7", UserAgent: "test/1", Upstream: true}},
		{"GET", "/v2/keys/a?size=5&piece=2", "", record{Status: 200, Bytes: 5, Upstream: true}},
		{"GET", "/v2/keys/a?size=40000&piece=3000", "", record{Status: 200, Bytes: 40_000, Upstream: true}},
		{"GET", "/v2/keys/a?size=40000&piece=3000&length=40000", "", record{Status: 200, Bytes: 40_000, Upstream: true}},
		{"HEAD", "/v2/keys/a?length=5", "", record{Status: 200, Upstream: true}},
		{"PUT", "/v2/keys/a", "Content-Length: 0\r\n", record{Status: 401, Bytes: -1}},
		{"HEAD", "/v2/members/..", "", record{Status: 400}},
	} {
		if err := client.Send(test.method + " " + test.target + " HTTP/1.1\r\nHost: h\r\n" + test.fields + "\r\n"); err != nil {
			t.Fatal(err)
		}
		a, err := client.Answer(test.method)
		if err != nil {
			t.Fatalf("%s %s: %v", test.method, test.target, err)
		}
		got := log.next(r)
		if id, _ := a.Field(observe.RequestIDField); id != "" && id != got.ID {
			t.Errorf("%s %s: got the id %q in the answer and %q in the log", test.method, test.target, id, got.ID)
		}
		want := test.want
		want.Method = test.method
		if want.ID == "" {
			want.ID = got.ID
		}
		if want.Bytes < 0 {
			want.Bytes = len(a.Body)
		}
		if got != want || a.Status != want.Status {
			t.Errorf("%s %s: got the status %d and the entry %+v, want %+v", test.method, test.target, a.Status, got, want)
		}
	}
}

func TestAWatchIsRecordedWithItsEvent(t *testing.T) {
	for _, value := range []string{"small", strings.Repeat("large", 10_000)} {
		log := &records{}
		r := newRig(t, patientLimits)
		r.Exchange.Observer = observe.New(r.Exchange.Observer.Metrics, observe.NewRecords(observe.RecordOptions{Access: log, JSON: true}))
		client, head, _, _ := r.watch()
		r.write(value)
		if err := client.ReadBody(head, "GET"); err != nil || !head.Whole {
			t.Fatalf("the event: got %+v and the error %v", head, err)
		}
		got := log.next(r)
		if got.Status != 200 || got.Bytes != len(head.Body) || !got.Shared || !got.Watch {
			t.Errorf("got the entry %+v, want a shared watch with the %d bytes of its event", got, len(head.Body))
		}
	}
}

// TestAWatchWhoseReaderLosesTheRightBeforeEtcdAnswersIsBrokenOff holds the head of the watch.
func TestAWatchWhoseReaderLosesTheRightBeforeEtcdAnswersIsBrokenOff(t *testing.T) {
	asked, answer := make(chan struct{}), make(chan struct{})
	r := newRigBefore(t, func(_ http.ResponseWriter, q *http.Request) {
		close(asked)
		select {
		case <-answer:
		case <-q.Context().Done():
		}
	})
	defer close(answer)
	client := r.start()
	if err := client.Send("GET /v2/keys" + watchedKey + "?wait=true HTTP/1.1\r\nHost: h\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	<-asked
	after := *r.Exchange.Current.Load()
	after.Rules = seed.Rules(t, acl.Rule{Prefix: watchedKey, Read: acl.Only("root"), Write: acl.Only("root")})
	r.Exchange.Current.Publish(&after)
	r.Exchange.Watches.Recheck(r.Exchange.Gate, func() *gate.Policy { return &after.Policy })
	if head, err := client.Head(); err == nil {
		t.Errorf("got %+v, want no answer", head)
	}
	client.Close()
	r.awaitEnd("a watch that was revoked")
	r.awaitWatchEnd("revoked")
}

// TestAConnectionWhoseAnswerCameDuringADrainEnds begins the drain while etcd works.
func TestAConnectionWhoseAnswerCameDuringADrainEnds(t *testing.T) {
	asked, answer := make(chan struct{}), make(chan struct{})
	r := newRigBefore(t, func(http.ResponseWriter, *http.Request) {
		close(asked)
		<-answer
	})
	client, served, _ := r.connect()
	if err := client.Send(noneRequest); err != nil {
		t.Fatal(err)
	}
	<-asked
	if class := served.Class(); class != account.Busy {
		t.Errorf("a connection that etcd works for: got the class %v, want %v", class, account.Busy)
	}
	r.Conns.StartDrain()
	close(answer)
	if a, err := client.Answer("GET"); err != nil || a.Status != 200 {
		t.Errorf("got %+v and the error %v, want the answer", a, err)
	}
	if end := client.End(); end != proxytest.EndedWell {
		t.Errorf("behind the answer: got the end %q, want %q", end, proxytest.EndedWell)
	}
	client.Close()
	r.awaitEnd("a connection that was drained")
	if served.CloseIfIdle() { // the pool may still ask
		t.Error("a connection that has ended was closed")
	}
}

package main

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"etcd-tlsproxy/proxy/rawio"
)

const (
	// grace is the time that connecting and the last answers may take in addition to the
	// load.
	grace = 15 * time.Second
	// maxLag is how late an open loop may be before it gives up.
	maxLag = 5 * time.Second
)

var errLag = errors.New("the proxy cannot keep up with the rate")

// worker is one client: a connection with one request at a time.
type worker struct {
	load    *load
	config  *tls.Config
	index   int
	created time.Time
	conn    *tls.Conn
	next    int // the index of the next request
	buf     []byte
	latency *hdrhistogram.Histogram
	done    int64
	failed  int64
}

func (w *worker) connect() error {
	if w.conn != nil {
		_ = w.conn.Close()
	}
	c, err := (&net.Dialer{Deadline: w.deadline()}).Dial("tcp", w.load.Address)
	if err != nil {
		return err
	}
	if err := c.(*net.TCPConn).SetNoDelay(!w.load.Nagle); err != nil {
		return errors.Join(err, c.Close())
	}
	// The generator uses raw sockets, like the proxy: the less CPU time it uses, the more
	// is left for the proxy.
	w.conn = tls.Client(rawio.New(c, true), w.config)
	return errors.Join(w.conn.SetDeadline(w.deadline()), w.conn.Handshake())
}

// deadline bounds a connection: a proxy that hangs must not hang the benchmark. It is
// set once, so that no request pays for it.
func (w *worker) deadline() time.Time { return w.created.Add(w.load.Duration + grace) }

// run sends requests until the time is over.
func (w *worker) run(start time.Time, firstError *atomic.Pointer[string]) {
	end := start.Add(w.load.Duration)
	if w.load.Idle {
		time.Sleep(time.Until(end))
		return
	}
	if w.load.Trickle {
		w.trickle(end)
		return
	}
	pace := time.Duration(0)
	if w.load.Rate > 0 {
		pace = time.Duration(float64(time.Second) * float64(w.load.Conns) / w.load.Rate)
	}
	due := start.Add(pace * time.Duration(w.index) / time.Duration(w.load.Conns))
	for {
		now := time.Now()
		if pace > 0 {
			if due.After(now) {
				time.Sleep(due.Sub(now))
			}
			now = due
			due = due.Add(pace)
		}
		if now.After(end) {
			return
		}
		if w.load.Refused && time.Now().After(end) {
			return // a proxy may answer fewer wrong passwords than are sent
		}
		if pace > 0 && time.Since(end) > maxLag {
			// Otherwise an open loop would continue until it has sent every request that
			// was due.
			w.recordError(errLag, firstError)
			return
		}
		if err := w.do(); err != nil {
			w.recordError(err, firstError)
			if err := w.connect(); err != nil {
				return
			}
			continue
		}
		w.done++
		_ = w.latency.RecordValue(max(1, time.Since(now).Microseconds()))
	}
}

// trickle sends a byte a second. The workers are spread over the second. The proxy may
// disconnect; the worker then connects again.
func (w *worker) trickle(end time.Time) {
	time.Sleep(time.Second * time.Duration(w.index) / time.Duration(w.load.Conns))
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for request := w.load.Requests[0]; ; w.next++ {
		if time.Now().After(end) {
			return
		}
		<-tick.C
		at := w.next % (len(request) - 1) // never the last byte, so that no head is complete
		if _, err := w.conn.Write(request[at : at+1]); err != nil && w.connect() != nil {
			return
		}
	}
}

func (w *worker) recordError(err error, firstError *atomic.Pointer[string]) {
	w.failed++
	text := err.Error()
	firstError.CompareAndSwap(nil, &text)
}

// do sends one request, on a connection of its own if handshakes are measured.
func (w *worker) do() error {
	if w.load.Handshake == "" {
		return w.roundTrip()
	}
	if err := w.connect(); err != nil {
		return err
	}
	// A figure that is named after a kind of handshake must not count the other kind.
	if resumed := w.conn.ConnectionState().DidResume; resumed != (w.load.Handshake == "resumed") {
		return fmt.Errorf("want a handshake that is %s, got one with resumed=%t", w.load.Handshake, resumed)
	}
	return w.roundTrip()
}

// roundTrip sends the next request and reads its whole answer.
func (w *worker) roundTrip() error {
	request := w.load.Requests[w.next]
	w.next = (w.next + 1) % len(w.load.Requests)
	if _, err := w.conn.Write(request); err != nil {
		return err
	}
	have, head, need := 0, 0, -1
	chunked := false
	for {
		n, err := w.conn.Read(w.buf[have:])
		have += n
		if err != nil {
			return err
		}
		if head == 0 {
			end := bytes.Index(w.buf[:have], []byte("\r\n\r\n"))
			if end < 0 {
				continue
			}
			head = end + 4
			if status := w.buf[9:12]; statusCode(status) != w.load.Status && !(w.load.Refused && status[0] != '2') {
				return fmt.Errorf("status %s", status)
			}
			need, chunked = framing(w.buf[:head])
		}
		if chunked && bytes.HasSuffix(w.buf[head:have], []byte("0\r\n\r\n")) || !chunked && have >= head+need {
			return nil
		}
		if have == len(w.buf) {
			return fmt.Errorf("an answer of more than %d bytes", len(w.buf))
		}
	}
}

// statusCode parses a status without allocating: it runs once for each answer.
func statusCode(status []byte) int {
	return int(status[0]-'0')*100 + int(status[1]-'0')*10 + int(status[2]-'0')
}

// framing returns the length of a body, or that it is chunked.
func framing(head []byte) (length int, chunked bool) {
	for line := range bytes.SplitSeq(head, []byte("\r\n")) {
		name, value, _ := bytes.Cut(line, []byte(":"))
		switch {
		case bytes.EqualFold(name, []byte("Content-Length")):
			length, _ = strconv.Atoi(string(bytes.TrimSpace(value)))
		case bytes.EqualFold(name, []byte("Transfer-Encoding")):
			chunked = true
		}
	}
	return length, chunked
}

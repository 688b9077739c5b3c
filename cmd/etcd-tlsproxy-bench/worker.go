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
	// grace is what connecting and the last answers may take beside the load.
	grace = 15 * time.Second
	// maxLag is how far an open loop may be behind before it gives up.
	maxLag = 5 * time.Second
)

var errBehind = errors.New("the proxy cannot keep up with the rate")

// worker is one client: a connection with one request at a time.
type worker struct {
	load    *load
	config  *tls.Config
	number  int
	created time.Time
	conn    *tls.Conn
	next    int
	buf     []byte
	latency *hdrhistogram.Histogram
	done    int64
	failed  int64
}

func (w *worker) connect() error {
	if w.conn != nil {
		_ = w.conn.Close()
	}
	c, err := (&net.Dialer{Deadline: w.limit()}).Dial("tcp", w.load.Address)
	if err != nil {
		return err
	}
	// What this process takes of the processors is missing in what is measured.
	w.conn = tls.Client(rawio.New(c), w.config)
	return errors.Join(w.conn.SetDeadline(w.limit()), w.conn.Handshake())
}

// limit is when nobody waits any longer: a proxy that hangs must not hang the
// comparison. It is set once for a connection, so that requests do not pay for it.
func (w *worker) limit() time.Time { return w.created.Add(w.load.Duration + grace) }

// work sends requests until the time is over.
func (w *worker) work(began time.Time, first *atomic.Pointer[string]) {
	end := began.Add(w.load.Duration)
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
	due := began.Add(pace * time.Duration(w.number) / time.Duration(w.load.Conns))
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
			return // a proxy may take fewer wrong passwords than are offered
		}
		if pace > 0 && time.Since(end) > maxLag {
			// Without this an open loop would go on until all that was due is sent.
			w.fail(errBehind, first)
			return
		}
		if err := w.once(); err != nil {
			w.fail(err, first)
			if err := w.connect(); err != nil {
				return
			}
			continue
		}
		w.done++
		_ = w.latency.RecordValue(max(1, time.Since(now).Microseconds()))
	}
}

// trickle sends a byte a second, not all workers at once. To be cut is what it expects.
func (w *worker) trickle(end time.Time) {
	time.Sleep(time.Second * time.Duration(w.number) / time.Duration(w.load.Conns))
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for request := w.load.Requests[0]; ; w.next++ {
		if time.Now().After(end) {
			return
		}
		<-tick.C
		at := w.next % (len(request) - 1) // never the last one
		if _, err := w.conn.Write(request[at : at+1]); err != nil && w.connect() != nil {
			return
		}
	}
}

func (w *worker) fail(err error, first *atomic.Pointer[string]) {
	w.failed++
	text := err.Error()
	first.CompareAndSwap(nil, &text)
}

func (w *worker) once() error {
	if w.load.Handshake == "" {
		return w.ask()
	}
	if err := w.connect(); err != nil {
		return err
	}
	// The figure is named after the handshake, so it has to be that one.
	if resumed := w.conn.ConnectionState().DidResume; resumed != (w.load.Handshake == "resumed") {
		return fmt.Errorf("a handshake that is to be %s: resumed is %t", w.load.Handshake, resumed)
	}
	return w.ask()
}

// ask sends the next request and reads its whole answer.
func (w *worker) ask() error {
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

// number reads a status without making a string of it: it is done for each answer.
func statusCode(status []byte) int {
	return int(status[0]-'0')*100 + int(status[1]-'0')*10 + int(status[2]-'0')
}

// framing finds the length of a body, or that it is chunked.
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

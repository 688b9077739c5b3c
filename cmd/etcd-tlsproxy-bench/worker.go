package main

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// worker is one client: a connection with one request at a time.
type worker struct {
	load    *load
	config  *tls.Config
	number  int
	conn    *tls.Conn
	next    int
	buf     []byte
	latency *hdrhistogram.Histogram
	done    int64
	failed  int64
}

func (w *worker) connect() error {
	c, err := tls.Dial("tcp", w.load.Address, w.config)
	if err != nil {
		return err
	}
	w.conn = c
	return nil
}

// work sends requests until the time is over.
func (w *worker) work(began time.Time, first *atomic.Pointer[string]) {
	end := began.Add(w.load.Duration)
	if w.load.Idle {
		time.Sleep(time.Until(end))
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
		if err := w.once(); err != nil {
			w.failed++
			text := err.Error()
			first.CompareAndSwap(nil, &text)
			if err := w.connect(); err != nil {
				return
			}
			continue
		}
		w.done++
		_ = w.latency.RecordValue(max(1, time.Since(now).Microseconds()))
	}
}

func (w *worker) once() error {
	if w.load.Handshake == "" {
		return w.ask()
	}
	_ = w.conn.Close()
	if err := w.connect(); err != nil {
		return err
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
			if status := w.buf[9:12]; string(status) != strconv.Itoa(w.load.Status) && !(w.load.Refused && status[0] != '2') {
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

package main

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	"github.com/spf13/cobra"
)

// load is one measurement, as it is told to the process that makes it.
type load struct {
	Address  string
	CA       []byte
	Conns    int
	Duration time.Duration
	Requests [][]byte // sent in turn
	Status   int      // expected; another one is an error
	// Rate is requests a second in an open loop: latencies count from when a
	// request was due, not from when it could be sent. 0 is a closed loop.
	Rate float64
	// Handshake makes a connection for each request: "full" or "resumed".
	Handshake string
	// Refused takes any refusal for the expected answer.
	Refused bool
	// Trickle sends requests byte by byte, and connects again when it is cut.
	Trickle bool
	// Idle only keeps the connections open for the duration.
	Idle bool
}

// result is what was measured. Latencies are in microseconds.
type result struct {
	Requests       int64
	Errors         int64
	FirstError     string
	Seconds        float64
	P50, P99, P999 int64
}

// newLoadCommand is the load generator: it reads a load from its input, connects,
// says "ready", waits for a line, loads, and writes the result.
func newLoadCommand() *cobra.Command {
	return &cobra.Command{
		Use: "load", Hidden: true, Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			in := bufio.NewReader(os.Stdin)
			line, err := in.ReadBytes('\n')
			if err != nil {
				return err
			}
			l := &load{}
			if err := json.Unmarshal(line, l); err != nil {
				return err
			}
			return l.run(in, os.Stdout)
		},
	}
}

func (l *load) run(in *bufio.Reader, out io.Writer) error {
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(l.CA) {
		return fmt.Errorf("reading the CA")
	}
	workers := make([]*worker, l.Conns)
	for i := range workers {
		w := &worker{
			load: l, next: i * len(l.Requests) / l.Conns,
			number: i, created: time.Now(),
			// One key exchange for all: Go's own would agree with our proxy on a
			// post-quantum one, which OpenSSL 3.0 behind nginx does not know.
			config: &tls.Config{RootCAs: roots, ServerName: "localhost", CurvePreferences: []tls.CurveID{tls.X25519}},
		}
		if !l.Idle && !l.Trickle {
			w.buf, w.latency = make([]byte, 256<<10), newHistogram()
		}
		if l.Handshake == "resumed" {
			w.config.ClientSessionCache = tls.NewLRUClientSessionCache(4)
		}
		if err := w.connect(); err != nil {
			return err
		}
		if !l.Idle && !l.Trickle {
			if err := w.ask(); err != nil { // warm: connections upstream, remembered passwords
				return fmt.Errorf("the first request: %w", err)
			}
		}
		workers[i] = w
	}
	fmt.Fprintln(out, "ready")
	if _, err := in.ReadString('\n'); err != nil {
		return err
	}
	var r result
	var first atomic.Pointer[string]
	var all sync.WaitGroup
	began := time.Now()
	for _, w := range workers {
		all.Go(func() { w.work(began, &first) })
	}
	all.Wait()
	r.Seconds = time.Since(began).Seconds()
	total := newHistogram()
	for _, w := range workers {
		if l.Idle || l.Trickle {
			break
		}
		r.Requests += w.done
		r.Errors += w.failed
		total.Merge(w.latency)
	}
	if text := first.Load(); text != nil {
		r.FirstError = *text
	}
	r.P50, r.P99, r.P999 = total.ValueAtQuantile(50), total.ValueAtQuantile(99), total.ValueAtQuantile(99.9)
	return json.NewEncoder(out).Encode(r)
}

// newHistogram holds microseconds up to a minute, to about one in a hundred.
func newHistogram() *hdrhistogram.Histogram { return hdrhistogram.New(1, 60_000_000, 2) }

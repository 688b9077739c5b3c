package main

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	"github.com/spf13/cobra"
)

// load describes one measurement to the process that makes it.
type load struct {
	Address  string
	CA       []byte
	Conns    int
	Duration time.Duration
	Requests [][]byte // the requests, which are sent in turn
	Status   int      // the expected status; any other is an error
	// Rate is the number of requests per second in an open loop: the latency of a request
	// is measured from the time at which it was due, even if it was sent later. 0 means a
	// closed loop.
	Rate float64
	// Handshake opens a connection for each request: "full" or "resumed".
	Handshake string
	// Nagle leaves Nagle's algorithm on at the client, as Perl, PHP, Python 2 and many
	// programs in C do.
	Nagle bool
	// Refused expects any status but 2xx.
	Refused bool
	// Trickle sends requests byte by byte, and connects again when it is disconnected.
	Trickle bool
	// Idle keeps the connections open for the duration, and sends nothing.
	Idle bool
}

// sendsRequests reports whether the load consists of requests that are answered.
func (l *load) sendsRequests() bool { return !l.Idle && !l.Trickle }

// result is what was measured. Latencies are in microseconds.
type result struct {
	Requests       int64
	Errors         int64
	FirstError     string
	Seconds        float64
	P50, P99, P999 int64
}

// newLoadCommand returns the load generator. It reads a load from its input, connects,
// writes "ready", waits for a line, generates the load, and writes the result.
func newLoadCommand() *cobra.Command {
	return &cobra.Command{
		Use: "load", Hidden: true, Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			l := &load{}
			in, err := readLoad(cmd.InOrStdin(), l)
			if err != nil {
				return err
			}
			return l.run(in, cmd.OutOrStdout())
		},
	}
}

// readLoad decodes the first line of in, and returns the rest.
func readLoad(in io.Reader, load any) (*bufio.Reader, error) {
	lines := bufio.NewReader(in)
	line, err := lines.ReadBytes('\n')
	if err != nil {
		return nil, fmt.Errorf("reading the load: %w", err)
	}
	return lines, json.Unmarshal(line, load)
}

// waitForStart reports that everything is connected, and waits for the line that
// releases the load.
func waitForStart(in *bufio.Reader, out io.Writer) error {
	fmt.Fprintln(out, "ready")
	_, err := in.ReadString('\n')
	return err
}

// clientConfig returns the TLS configuration of all clients. It allows one key exchange:
// by default Go would agree with our proxy on a post-quantum one, which OpenSSL 3.0 of
// nginx and HAProxy does not support.
func clientConfig(ca []byte) (*tls.Config, error) {
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(ca) {
		return nil, errors.New("reading the CA: no certificate found")
	}
	return &tls.Config{RootCAs: roots, ServerName: "localhost", CurvePreferences: []tls.CurveID{tls.X25519}}, nil
}

// run connects all workers, waits for the start, and writes the sum of their results.
func (l *load) run(in *bufio.Reader, out io.Writer) error {
	config, err := clientConfig(l.CA)
	if err != nil {
		return err
	}
	workers := make([]*worker, l.Conns)
	for i := range workers {
		w := &worker{load: l, next: i * len(l.Requests) / l.Conns, index: i, created: time.Now(), config: config.Clone()}
		workers[i] = w
		if l.sendsRequests() {
			w.buf, w.latency = make([]byte, 256<<10), newHistogram()
		}
		if l.Handshake == "resumed" {
			w.config.ClientSessionCache = tls.NewLRUClientSessionCache(4)
		}
		if err := w.connect(); err != nil {
			return err
		}
		if l.sendsRequests() {
			// The first request opens connections to the upstream and hashes passwords.
			if err := w.roundTrip(); err != nil {
				return fmt.Errorf("sending the first request: %w", err)
			}
		}
	}
	if err := waitForStart(in, out); err != nil {
		return err
	}
	var r result
	var firstError atomic.Pointer[string]
	var running sync.WaitGroup
	start := time.Now()
	for _, w := range workers {
		running.Go(func() { w.run(start, &firstError) })
	}
	running.Wait()
	r.Seconds = time.Since(start).Seconds()
	total := newHistogram()
	for _, w := range workers {
		if !l.sendsRequests() {
			break
		}
		r.Requests += w.done
		r.Errors += w.failed
		total.Merge(w.latency)
	}
	if text := firstError.Load(); text != nil {
		r.FirstError = *text
	}
	r.P50, r.P99, r.P999 = total.ValueAtQuantile(50), total.ValueAtQuantile(99), total.ValueAtQuantile(99.9)
	return json.NewEncoder(out).Encode(r)
}

// newHistogram holds microseconds up to a minute, exact to about one part in a hundred.
func newHistogram() *hdrhistogram.Histogram { return hdrhistogram.New(1, 60_000_000, 2) }

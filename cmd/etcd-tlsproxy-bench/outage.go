package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// outageSample is how a proxy behaves while etcd is away. Times are in microseconds.
type outageSample struct {
	Down   float64 // the slowest answer of a hundred, while etcd was down
	Status int     // of that time's answers
	Back   float64 // from etcd's own first answer to the first through the proxy
}

const (
	outageDuration = time.Second
	outageInterval = time.Millisecond // between two questions
)

// compareOutages kills etcd behind each proxy in turn, and starts it again.
func (s *settings) compareOutages(ctx context.Context, sc *scenario, proxy string) (*comparison, error) {
	o := &comparison{Name: sc.name, What: sc.what, Figure: sc.figure, Samples: make(map[string][]*sample)}
	env, err := newEnv(proxy)
	if err != nil {
		return nil, err
	}
	defer env.close()
	if env.etcd == nil {
		o.Notes = append(o.Notes, "left out: etcd is not installed, and the one in this process cannot be killed")
		return o, nil
	}
	for _, v := range sc.contenders() {
		if !s.selected(v.name) || !installed(v.name) {
			continue
		}
		t, err := env.startTarget(v, env.etcdAddr)
		if err != nil {
			return nil, err
		}
		o.Order = append(o.Order, v.name)
		for range s.rounds {
			m, err := env.outage(ctx, t)
			if err != nil {
				t.proc.stop()
				return nil, fmt.Errorf("%s: %w", v.name, err)
			}
			o.Samples[v.name] = append(o.Samples[v.name], &sample{Outage: m})
		}
		t.proc.stop()
	}
	return o, nil
}

// outage asks through the proxy all the time, while etcd dies and comes back.
func (e *env) outage(ctx context.Context, t *target) (*outageSample, error) {
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(e.ca) {
		return nil, errors.New("reading the CA")
	}
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}, Timeout: grace}
	defer client.CloseIdleConnections()
	through := "https://" + t.address + "/v2/keys" + treeKey(0)
	if status, _, err := ask(client, through); status != http.StatusOK {
		return nil, fmt.Errorf("before the outage: %d, %w", status, err)
	}
	e.etcd.Kill()
	m := &outageSample{}
	var took []float64
	for began := time.Now(); time.Since(began) < outageDuration; time.Sleep(outageInterval) {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		status, d, err := ask(client, through)
		if err != nil {
			return nil, fmt.Errorf("while etcd is down: %w", err)
		}
		m.Status = status
		took = append(took, float64(d.Microseconds()))
	}
	slices.Sort(took)
	m.Down = took[len(took)*99/100]

	started := make(chan error, 1)
	go func() { started <- e.etcd.Start() }()
	direct := make(chan time.Time, 1)
	go func() {
		own := &http.Client{Transport: &http.Transport{}, Timeout: grace}
		defer own.CloseIdleConnections()
		direct <- waitForSuccess(ctx, own, "http://"+e.etcdAddr+"/v2/keys"+treeKey(0))
	}()
	first := waitForSuccess(ctx, client, through)
	m.Back = float64(max(0, first.Sub(<-direct)).Microseconds())
	return m, <-started
}

// waitForSuccess asks until the answer is a good one.
func waitForSuccess(ctx context.Context, client *http.Client, url string) time.Time {
	for ctx.Err() == nil {
		if status, _, err := ask(client, url); err == nil && status == http.StatusOK {
			break
		}
		time.Sleep(outageInterval / 4)
	}
	return time.Now()
}

func ask(client *http.Client, url string) (status int, took time.Duration, err error) {
	began := time.Now()
	resp, err := client.Get(url)
	if err != nil {
		return 0, 0, err
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		return 0, 0, err
	}
	return resp.StatusCode, time.Since(began), nil
}

// printOutages writes the table of outages.
func (o *comparison) printOutages(out io.Writer) {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "\tanswers while down\tp99 ms\tfirst good answer after etcd's own ms\t")
	for _, name := range o.Order {
		statuses := []string{}
		for _, s := range o.Samples[name] {
			if text := fmt.Sprint(s.Outage.Status); !slices.Contains(statuses, text) {
				statuses = append(statuses, text)
			}
		}
		fmt.Fprintf(w, "%s\t%s\t%.1f\t%.1f\t\n", name, strings.Join(statuses, " "),
			o.median(name, func(s *sample) float64 { return s.Outage.Down })/1000, o.median(name, figures["back"])/1000)
	}
	_ = w.Flush()
	for _, note := range o.Notes {
		fmt.Fprintf(out, "  (%s)\n", note)
	}
}

package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"
)

// outageSample is how a proxy behaves while etcd is down. Times are in microseconds.
type outageSample struct {
	Down   float64 // the 99th percentile of answer times while etcd was down
	Status int     // of answers while etcd was down
	Back   float64 // from etcd's own first answer to the first one through the proxy
}

const (
	outageDuration = time.Second
	outageInterval = time.Millisecond // between two requests
)

// compareOutages kills the etcd behind the proxies once for each contender and round,
// and starts it again.
func (s *settings) compareOutages(ctx context.Context, sc *scenario) (*comparison, error) {
	c := newComparison(sc, s.builds)
	e, err := newEnv()
	if err != nil {
		return nil, err
	}
	defer e.close()
	if e.etcd == nil {
		c.Notes = append(c.Notes, "left out: etcd is not installed, and the one in this process cannot be killed")
		return c, nil
	}
	targets, err := e.startTargets(s.selectContenders(sc, c), e.etcdAddr)
	defer stopTargets(targets)
	if err != nil {
		return nil, err
	}
	for round := range s.rounds {
		for _, t := range inRound(round, targets) {
			m, err := e.measureOutage(ctx, t)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", t.name, err)
			}
			c.Samples[t.name] = append(c.Samples[t.name], &sample{Outage: m})
		}
	}
	return c, nil
}

// measureOutage sends requests through the proxy while etcd dies and comes back.
func (e *env) measureOutage(ctx context.Context, t *target) (*outageSample, error) {
	client, err := e.client()
	if err != nil {
		return nil, err
	}
	defer client.CloseIdleConnections()
	url := "https://" + t.address + "/v2/keys" + treeKey(0)
	if err := requestOnce(client, url); err != nil {
		return nil, fmt.Errorf("before the outage: %w", err)
	}
	e.etcd.Kill()
	m := &outageSample{}
	var times []float64
	for start := time.Now(); time.Since(start) < outageDuration; time.Sleep(outageInterval) {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		status, took, err := timedGet(client, url)
		if err != nil {
			return nil, fmt.Errorf("while etcd is down: %w", err)
		}
		m.Status = status
		times = append(times, float64(took.Microseconds()))
	}
	slices.Sort(times)
	m.Down = times[len(times)*99/100]

	started := make(chan error, 1)
	go func() { started <- e.etcd.Start() }()
	direct := make(chan time.Time, 1)
	go func() {
		own := &http.Client{Transport: &http.Transport{}, Timeout: grace}
		defer own.CloseIdleConnections()
		direct <- waitForSuccess(ctx, own, "http://"+e.etcdAddr+"/v2/keys"+treeKey(0))
	}()
	first := waitForSuccess(ctx, client, url)
	m.Back = float64(max(0, first.Sub(<-direct)).Microseconds())
	return m, <-started
}

// waitForSuccess sends requests until one is answered with 200, and returns the time.
func waitForSuccess(ctx context.Context, client *http.Client, url string) time.Time {
	for ctx.Err() == nil && requestOnce(client, url) != nil {
		time.Sleep(outageInterval / 4)
	}
	return time.Now()
}

// requestOnce reports an answer other than 200 as an error.
func requestOnce(client *http.Client, url string) error {
	status, _, err := timedGet(client, url)
	if err == nil && status != http.StatusOK {
		err = fmt.Errorf("got status %d, want 200", status)
	}
	return err
}

func timedGet(client *http.Client, url string) (status int, took time.Duration, err error) {
	start := time.Now()
	resp, err := client.Get(url)
	if err != nil {
		return 0, 0, err
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		return 0, 0, err
	}
	return resp.StatusCode, time.Since(start), nil
}

// outageColumns returns the columns of the table of outages.
func (c *comparison) outageColumns() []column {
	statuses := func(name string) string {
		var list []string
		for _, m := range c.Samples[name] {
			if text := fmt.Sprint(m.Outage.Status); !slices.Contains(list, text) {
				list = append(list, text)
			}
		}
		return strings.Join(list, " ")
	}
	return []column{
		{"answers while down", statuses},
		c.number("p99 ms", "%.1f", func(m *sample) float64 { return m.Outage.Down / 1000 }),
		c.number("first good answer after etcd's own ms", "%.1f", func(m *sample) float64 { return m.Outage.Back / 1000 }),
	}
}

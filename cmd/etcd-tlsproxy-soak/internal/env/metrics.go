package env

import (
	"fmt"
	"io"
	"strconv"
	"strings"
)

// Usage is the resources that the proxy holds at one time.
type Usage struct {
	Goroutines  int
	Descriptors int // without idle connections to etcd
	Memory      int64
	Connections int // of clients
	Watches     int
}

// Usage reads what the proxy holds from its metrics.
func (p *Proxy) Usage() (Usage, error) {
	m, err := p.Metrics()
	if err != nil {
		return Usage{}, err
	}
	idle := int(m[`etcd_tlsproxy_upstream_connections{state="idle"}`])
	return Usage{
		Goroutines:  int(m["go_goroutines"]),
		Descriptors: int(m["process_open_fds"]) - idle,
		Memory:      int64(m["process_resident_memory_bytes"]),
		Connections: int(m["etcd_tlsproxy_connections"]),
		Watches:     int(m["etcd_tlsproxy_watches"]),
	}, nil
}

// KeepsStore reports whether the proxy is the one that expires the nodes of a v3 store.
func (p *Proxy) KeepsStore() (bool, error) {
	m, err := p.Metrics()
	return m["etcd_tlsproxy_store_keeper"] == 1, err
}

// Shadow is what the proxy says about its shadow.
type Shadow struct {
	// Following means that the copy follows, and Waiting counts the events that are not in it yet.
	Following bool
	Waiting   int
	// Compared are numbers of answers by access, Skipped by reason, and Differences by kind.
	Compared, Skipped, Differences map[string]int
}

// Shadow reads what the proxy says about its shadow.
func (p *Proxy) Shadow() (*Shadow, error) {
	m, err := p.Metrics()
	if err != nil {
		return nil, err
	}
	s := &Shadow{Following: m["etcd_tlsproxy_shadow_following"] == 1, Waiting: int(m["etcd_tlsproxy_shadow_waiting_events"]),
		Compared: map[string]int{}, Skipped: map[string]int{}, Differences: map[string]int{}}
	for series, value := range m {
		name, label, _ := strings.Cut(series, "{")
		of := map[string]map[string]int{"compared_total": s.Compared, "skipped_total": s.Skipped, "differences_total": s.Differences}[strings.TrimPrefix(name, "etcd_tlsproxy_shadow_")]
		if _, quoted, found := strings.Cut(label, `"`); found && of != nil && value > 0 {
			of[strings.TrimSuffix(quoted, `"}`)] = int(value)
		}
	}
	return s, nil
}

// Metrics reads all metrics, by name and labels.
func (p *Proxy) Metrics() (map[string]float64, error) {
	resp, err := p.client.Get(p.admin + "/metrics")
	if err != nil {
		return nil, fmt.Errorf("reading metrics: %w", err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, fmt.Errorf("reading metrics: %w", err)
	}
	m := make(map[string]float64)
	for line := range strings.Lines(string(data)) {
		cut := strings.LastIndexByte(line, ' ')
		if line[0] == '#' || cut < 0 {
			continue
		}
		if value, err := strconv.ParseFloat(strings.TrimSpace(line[cut:]), 64); err == nil {
			m[line[:cut]] = value
		}
	}
	return m, nil
}

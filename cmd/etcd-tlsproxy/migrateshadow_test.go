package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/daemon/daemontest"
	"etcd-tlsproxy/proxy/proxytest"
)

// shadowed is a proxy that compares its answers, and a client of it.
type shadowed struct {
	*daemontest.Service
	client *http.Client
}

// send sends a request as root, and returns the status.
func (s *shadowed) send(method, key string, form url.Values) int {
	request, err := http.NewRequest(method, s.URL+"/v2/keys"+key, strings.NewReader(form.Encode()))
	if err != nil {
		s.T.Error(err)
		return 0
	}
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	request.SetBasicAuth("root", "root-1")
	response, err := s.client.Do(request)
	if err != nil {
		s.T.Error(err)
		return 0
	}
	defer response.Body.Close()
	_, _ = io.Copy(io.Discard, response.Body)
	return response.StatusCode
}

// state returns what the proxy says about its shadow.
func (s *shadowed) state() (state struct {
	Following, Appends bool
	Compared           int64 `json:"compared_reads"`
	Writes             int64 `json:"compared_writes"`
	Differing          int64
	First              []map[string]any
}) {
	s.T.Helper()
	_, body := s.Admin("GET", "/-/status.json")
	var status struct{ Shadows []json.RawMessage }
	if err := json.Unmarshal([]byte(body), &status); err != nil || len(status.Shadows) != 1 {
		s.T.Fatalf("got %d shadows and %v, want one", len(status.Shadows), err)
	}
	if err := json.Unmarshal(status.Shadows[0], &state); err != nil {
		s.T.Fatal(err)
	}
	return state
}

// TestThreeProxiesCompareWithOneShadowWhileTheyServe rehearses while clients write through three proxies, and then stops
// the proxy that appends.
func TestThreeProxiesCompareWithOneShadowWhileTheyServe(t *testing.T) {
	dir := t.TempDir()
	e, err := proxytest.StartEmbedded(proxytest.Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Close)
	config := strings.Replace(fmt.Sprintf(daemontest.SeedConfig, e.URL()), "[tls]\n", "[shadow]\nsample = 100\n[log]\naudit = \"off\"\n[tls]\n", 1)
	var fleet []*shadowed
	for range 3 {
		s := daemontest.Start(t, config)
		fleet = append(fleet, &shadowed{s, &http.Client{Transport: s.Transport()}})
	}
	var stop [3]func()
	write := func(n int, s *shadowed) {
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan struct{})
		stop[n] = func() { cancel(); <-done }
		go func() {
			defer close(done)
			pace := time.NewTicker(20 * time.Millisecond) // about what a shadow can follow while the tests of other packages run
			defer pace.Stop()
			for i := 0; ctx.Err() == nil; i++ {
				<-pace.C
				key := fmt.Sprintf("/conftool/%d/%d", n, i%5)
				s.send("PUT", key, url.Values{"value": {fmt.Sprint(i)}})
				s.send("PUT", key, url.Values{"value": {"x"}, "prevValue": {fmt.Sprint(i)}})
				s.send("POST", fmt.Sprintf("/conftool/_queue%d", n), url.Values{"value": {"x"}, "ttl": {"2"}})
				s.send("GET", "/conftool?recursive=true&sorted=true", nil)
				s.send("DELETE", fmt.Sprintf("/conftool/%d/%d", n, (i+2)%7), nil)
			}
		}()
	}
	for n, s := range fleet {
		write(n, s)
	}
	t.Cleanup(func() { // before the proxies end, also if the test fails
		for _, s := range stop {
			s()
		}
	})
	r := newRehearsals(t, e.URL(), dir)
	r.put("/_hidden/before", "secret")
	r.run(0, "the copy is equal to the keys of the member", "--yes")
	following := func(s *shadowed) func() bool { return func() bool { return s.state().Following } }
	for _, s := range fleet {
		s.Eventually("the copy follows", following(s))
	}
	compared := func(s *shadowed, reads, writes int64) {
		t.Helper()
		s.Eventually("enough is compared", func() bool { st := s.state(); return st.Compared > reads && st.Writes > writes })
	}
	for _, s := range fleet {
		compared(s, 20, 50)
	}
	last := 0
	for n, s := range fleet {
		if s.state().Appends {
			last = n
		}
	}
	stop[last]()
	other := fleet[(last+1)%3]
	fleet[last].client.CloseIdleConnections()
	fleet[last].Close()
	other.Eventually("another proxy appends", func() bool { return other.state().Appends || fleet[(last+2)%3].state().Appends })
	for n, s := range fleet {
		if n == last {
			continue
		}
		st := s.state()
		compared(s, st.Compared+10, st.Writes+20)
		stop[n]()
	}
	for n, s := range fleet {
		if st := s.state; n != last && st().Differing > 0 {
			t.Errorf("proxy %d: got %d differences, want none: %v", n, st().Differing, st().First)
		}
	}
	want := []string{`answers are compared with the copy at the prefix "rehearsal"`, "DIFFERENCES"}
	for end := time.Now().Add(20 * time.Second); ; {
		_, stdout, stderr := runLine(t, "migrate", "status", "--config", other.Path("etcd-tlsproxy.toml"))
		if strings.Contains(stdout, want[0]) && strings.Contains(stdout, want[1]) {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("migrate status: got %q and %q, want %q", stdout, stderr, want)
		}
	}
}

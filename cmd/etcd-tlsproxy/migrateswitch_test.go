package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/console"
	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/daemon/daemontest"
	"etcd-tlsproxy/proxy/proxytest"
)

// switching is a fleet of proxies, and clients that write and watch through them while the keys move.
type switching struct {
	*testing.T
	fleet   []*daemontest.Service
	clients []*http.Client // of each proxy

	mu       sync.Mutex
	counters map[int]int // that were acknowledged
	unknown  map[int]int
	longest  time.Duration
	errors   map[string]int // what clients saw, by kind
}

// send sends a request as root through a proxy.
func (s *switching) send(client *http.Client, proxy int, method, target string, form url.Values) (status int, body string, err error) {
	status, _, body, err = s.sendForIndex(client, proxy, method, target, form)
	return status, body, err
}

// sendForIndex is send, and returns the index of the answer as well.
func (s *switching) sendForIndex(client *http.Client, proxy int, method, target string, form url.Values) (status int, index uint64, body string, err error) {
	request, err := http.NewRequestWithContext(context.Background(), method, s.fleet[proxy].URL+target, strings.NewReader(form.Encode()))
	if err != nil {
		return 0, 0, "", err
	}
	if form != nil {
		request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	request.SetBasicAuth("root", "root-1")
	response, err := client.Do(request)
	if err != nil {
		return 0, 0, "", err
	}
	defer response.Body.Close()
	_, _ = fmt.Sscan(response.Header.Get("X-Etcd-Index"), &index)
	text, err := io.ReadAll(response.Body)
	return response.StatusCode, index, string(text), err
}

func (s *switching) saw(what string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.errors[what]++
}

// node is a part of an answer of etcd.
type node struct {
	Key, Value    string
	ModifiedIndex uint64
}

// count increments a counter of its own until it is told to stop, each time on condition of the last value.
func (s *switching) count(client *http.Client, writer int, stop <-chan struct{}) {
	proxy, key := writer%len(s.fleet), fmt.Sprintf("/v2/keys/eventlogging/counter%d", writer)
	last := uint64(0)
	for n := 0; ; {
		select {
		case <-stop:
			return
		default:
		}
		form := url.Values{"value": {fmt.Sprint(n + 1)}}
		if n > 0 {
			form.Set("prevValue", fmt.Sprint(n))
		}
		began := time.Now()
		status, index, body, err := s.sendForIndex(client, proxy, "PUT", key, form)
		if err == nil && status < 300 && index <= last {
			s.Errorf("writer %d: got the index %d after %d", writer, index, last)
		}
		last = max(last, index)
		s.mu.Lock()
		s.longest = max(s.longest, time.Since(began))
		switch {
		case err == nil && status < 300:
			n++
			s.counters[writer] = n
		case err == nil && status == 503 && strings.Contains(body, "nothing was carried out"):
			s.errors["a write was refused"]++
		default:
			s.unknown[writer]++
			s.Errorf("writer %d: got %d %s, %v", writer, status, body, err)
			n = -1
		}
		s.mu.Unlock()
		if n < 0 {
			return
		}
		if n%3 == 0 {
			s.readAfter(writer+1, key, n)
		}
	}
}

// readAfter makes sure that a read with a quorum through another proxy has a value that was acknowledged.
func (s *switching) readAfter(proxy int, key string, want int) {
	proxy %= len(s.fleet)
	status, body, err := s.send(s.clients[proxy], proxy, "GET", key+"?quorum=true", nil)
	if value := fmt.Sprintf(`"value":"%d"`, want); err != nil || status != 200 || !strings.Contains(body, value) {
		s.Errorf("a read with a quorum after %s was acknowledged: got %d %s, %v", value, status, body, err)
	}
}

// watch follows one counter until its last value, and makes sure that it sees each value once and in order.
func (s *switching) watch(client *http.Client, writer int, last func() int) {
	proxy, key := (writer+1)%len(s.fleet), fmt.Sprintf("/v2/keys/eventlogging/counter%d", writer)
	next, seen := uint64(1), 0
	for last() < 0 || seen < last() {
		status, body, err := s.send(client, proxy, "GET", fmt.Sprintf("%s?wait=true&waitIndex=%d", key, next), nil)
		var answer struct{ Node node }
		switch {
		case err != nil:
			s.saw("a watch was broken off")
			continue
		case status == 503:
			s.saw("a watch was refused")
			continue
		case status == 400 && strings.Contains(body, `"errorCode":401`):
			s.saw("a watch asked for an index before the first of the tree")
			status, index, body, err := s.sendForIndex(client, proxy, "GET", key+"?quorum=true", nil)
			if err == nil && status == 200 && json.Unmarshal([]byte(body), &answer) == nil {
				_, _ = fmt.Sscan(answer.Node.Value, &seen)
				next = index + 1
			}
			continue
		}
		if err := json.Unmarshal([]byte(body), &answer); err != nil || answer.Node.ModifiedIndex < next {
			s.Errorf("watching since %d: got %d %s, want an event since then", next, status, body)
			return
		}
		value := 0
		_, _ = fmt.Sscan(answer.Node.Value, &value)
		if value <= seen {
			s.Errorf("the watcher of counter %d has seen %d after %d", writer, value, seen)
		}
		seen, next = value, answer.Node.ModifiedIndex+1
	}
}

// TestAFleetMovesItsKeysUnderLoad moves the keys of three proxies while clients write and watch through them.
func TestAFleetMovesItsKeysUnderLoad(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	etcd, err := proxytest.StartEmbedded(proxytest.Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(etcd.Close)
	s := &switching{T: t, counters: map[int]int{}, unknown: map[int]int{}, errors: map[string]int{}}
	config := strings.Replace(fmt.Sprintf(daemontest.SeedConfig, etcd.URL()), "[upstream]\n", "[upstream]\napi = \"auto\"\n", 1) + "[surfaces]\nmembers = [\"root\"]\n"
	for range 3 {
		service := daemontest.Start(t, config)
		s.fleet = append(s.fleet, service)
		s.clients = append(s.clients, &http.Client{Transport: service.Transport(), Timeout: 30 * time.Second})
	}
	migrate := func(code int, want string, args ...string) {
		t.Helper()
		args = append([]string{"migrate", args[0], "--config", s.fleet[0].Path("etcd-tlsproxy.toml")}, args[1:]...)
		got, stdout, stderr := verb(t, args...)
		if got != code || !strings.Contains(stdout+stderr, want) {
			t.Errorf("%v: got the status %d with\n%s%s\nwant %d and %q", args, got, stdout, stderr, code, want)
		}
	}
	member := []string{"--endpoints", etcd.URL(), "--data-dir", dir}
	migrate(0, "the v2 API has the keys; the store has no tree", "status")
	migrate(console.ExitUsage, "--expect is missing", "switch")
	migrate(1, "3 proxies follow the changeover", append([]string{"switch", "--expect", "4"}, member...)...)

	stop, ended := make(chan struct{}), make(chan struct{})
	var writers, watchers sync.WaitGroup
	const n = 6
	for i := range n {
		writers.Go(func() { s.count(s.clients[i%3], i, stop) })
		watchers.Go(func() {
			s.watch(s.clients[(i+1)%3], i, func() int {
				select {
				case <-ended:
					s.mu.Lock()
					defer s.mu.Unlock()
					return s.counters[i]
				default:
					return -1
				}
			})
		})
	}
	progress := func() {
		t.Helper()
		s.mu.Lock()
		from := map[int]int{}
		for i := range n {
			from[i] = s.counters[i]
		}
		s.mu.Unlock()
		s.fleet[0].Eventually("all clients write", func() bool {
			s.mu.Lock()
			defer s.mu.Unlock()
			for i := range n {
				if s.counters[i] < from[i]+20 {
					return false
				}
			}
			return true
		})
	}
	progress()
	switchArgs := append([]string{"switch", "--expect", "3"}, member...)
	migrate(console.ExitPlanned, "make 3 proxies hold their writes", switchArgs...)
	migrate(1, "; the v2 API has the keys as before", append(switchArgs, "--max-hold", "1ns", "--yes")...)
	progress()
	migrate(0, "the v3 store has the keys now", append(switchArgs, "--yes", "--watch", "1ms")...)
	progress()
	migrate(0, "the v3 store has the keys\n", "status")
	migrate(0, "above that of the v2 API when the keys were moved", "status")
	migrate(1, "nothing is to be ended: the v3 store has the keys", "abort", "--yes")
	// A member would refuse that, as its v2 API is locked.
	if status, body, err := s.send(s.clients[0], 0, "DELETE", "/v2/members/123", nil); err != nil || status != http.StatusNotFound {
		t.Errorf("a change of the members through a proxy: got %d %s, %v, want %d", status, body, err, http.StatusNotFound)
	}

	migrate(console.ExitUsage, "--expect is missing", "back")
	migrate(console.ExitUsage, "one of --data-dir and --hidden-may-return must be given", "back", "--expect", "3", "--endpoints", etcd.URL())
	migrate(1, "3 proxies follow the changeover", "back", "--expect", "4", "--hidden-may-return", "--endpoints", etcd.URL())
	migrate(console.ExitPlanned, "keep hidden keys in the v2 API", "back", "--expect", "3", "--hidden-may-return", "--endpoints", etcd.URL())
	migrate(console.ExitPlanned, "refuse writes if the v3 store has the keys", "lock", "--endpoints", etcd.URL())
	migrate(0, "the v2 API refuses writes", "lock", "--endpoints", etcd.URL(), "--yes")
	migrate(console.ExitPlanned, "also hidden keys", append([]string{"back", "--expect", "3"}, member...)...)
	migrate(1, "; the v3 store has the keys as before", "back", "--expect", "3", "--hidden-may-return", "--endpoints", etcd.URL(), "--max-hold", "1ns", "--yes")
	progress()
	outdated := func() int {
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.errors["a watch asked for an index before the first of the tree"]
	}
	before := outdated()
	migrate(0, "the v2 API has the keys now", "back", "--expect", "3", "--hidden-may-return", "--endpoints", etcd.URL(), "--yes")
	migrate(0, "the v2 API has the keys, and takes writes", "lock", "--endpoints", etcd.URL(), "--yes")
	progress()
	// What the command has written is no event for them.
	s.fleet[0].Eventually("all watchers are told that their index is too old", func() bool { return outdated() >= before+n })
	migrate(0, "the v2 API has the keys; the store has an old or incomplete copy", "status")
	migrate(1, `the store has a tree in the state "unfinished"`, "back", "--expect", "3", "--hidden-may-return", "--endpoints", etcd.URL())
	migrate(0, "the v3 store has the keys now", append(switchArgs, "--yes", "--watch", "1ms")...)
	progress()
	close(stop)
	writers.Wait()
	// The watchers wait for one more event each.
	close(ended)
	for i := range n {
		s.mu.Lock()
		s.counters[i]++
		value := fmt.Sprint(s.counters[i])
		s.mu.Unlock()
		if status, body, err := s.send(s.clients[0], 0, "PUT", fmt.Sprintf("/v2/keys/eventlogging/counter%d", i), url.Values{"value": {value}}); err != nil || status != 200 {
			t.Errorf("the last write: got %d %s, %v", status, body, err)
		}
	}
	watchers.Wait()
	for i := range n {
		for proxy := range s.fleet {
			_, body, err := s.send(s.clients[proxy], proxy, "GET", fmt.Sprintf("/v2/keys/eventlogging/counter%d?quorum=true", i), nil)
			if want := fmt.Sprintf(`"value":"%d"`, s.counters[i]); err != nil || !strings.Contains(body, want) {
				t.Errorf("counter %d through proxy %d: got %s, %v, want %s", i, proxy, body, err, want)
			}
		}
	}
	t.Logf("writes that were acknowledged: %v; none waited for more than %s; clients saw: %v", s.counters, s.longest, s.errors)
}

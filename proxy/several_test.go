package proxy_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"etcd-tlsproxy/proxy/proxytest"
	"etcd-tlsproxy/proxy/proxytest/fronttest"
	"etcd-tlsproxy/proxy/proxytest/v2draw"
	"etcd-tlsproxy/proxy/v2store"
)

// several are three proxies of one v3 store, each before a member of its own. Some serve
// plain requests in the one lane, and some in the other.
type several struct {
	*testing.T
	cluster *proxytest.Cluster
	fronts  []*fronttest.Front
	clients []*http.Client // of the fronts
}

func startSeveral(t *testing.T, release proxytest.Release) *several {
	t.Helper()
	c, err := release.Cluster(t.TempDir(), 3)
	t.Cleanup(c.Close)
	if err != nil {
		t.Fatal(err)
	}
	fronttest.ServeStores(t, c.URLs()...)
	s := &several{T: t, cluster: c}
	for i, url := range c.URLs() {
		f := []fronttest.Lane{fronttest.Fast, fronttest.Standard}[i%2].Front(t, url, nil)
		s.fronts, s.clients = append(s.fronts, f), append(s.clients, f.Client("h1"))
	}
	return s
}

// newestRelease returns the newest release of etcd that is at hand.
func newestRelease() proxytest.Release {
	all := proxytest.Releases()
	return all[len(all)-1]
}

// do sends a request through one of the proxies. It returns the status, the index in the head or 0, and
// the body.
func (s *several) do(i int, method, target, form string) (status int, index uint64, body string) {
	s.Helper()
	status, body, head := fronttest.Do(s, s.clients[i], method, s.fronts[i].URL()+"/v2/keys"+target, "root", form)
	index, _ = strconv.ParseUint(head.Get("X-Etcd-Index"), 10, 64) // a refusal of the proxy has none
	return status, index, body
}

// equal compares the answers of all proxies to a read, bytes and indexes, and returns one. The
// seconds that are left to a node depend on the time of the read.
func (s *several) equal(target string) (index uint64, body string) {
	s.Helper()
	status, index, body := s.do(0, "GET", target, "")
	for i := range s.fronts[1:] {
		otherStatus, otherIndex, other := s.do(1+i, "GET", target, "")
		if otherStatus != status || otherIndex != index || withoutTTL.ReplaceAllString(other, "") != withoutTTL.ReplaceAllString(body, "") {
			s.Errorf("%s: the proxies 0 and %d answer\n%d %d %s\n%d %d %s", target, 1+i, status, index, body, otherStatus, otherIndex, other)
		}
	}
	return index, body
}

// drawn is the tree for which one client draws requests.
type drawn struct {
	*several
	through int // the proxy
	index   *atomic.Uint64
}

// Index implements [v2draw.Tree].
func (d *drawn) Index() uint64 { return d.index.Load() }

// Modified implements [v2draw.Tree].
func (d *drawn) Modified(key string) uint64 {
	_, _, body := d.do(d.through, "GET", key, "")
	var e struct{ Node v2store.Node }
	if json.Unmarshal([]byte(body), &e) != nil {
		return 0
	}
	return e.Node.ModifiedIndex
}

// soon has nodes that expire while they are written, and others that stay.
var soon = v2draw.Life{TTL: []string{"1", "2", "20000", "30000", ""}, Refresh: []string{"2", "50000"}, Other: "70000", Now: true}

// draw sends random requests of some clients through all proxies at the same time.
func (s *several) draw(clients, requests int) {
	var index atomic.Uint64
	var all sync.WaitGroup
	for c := range clients {
		all.Go(func() {
			d := &drawn{s, c % len(s.fronts), &index}
			for n := range requests {
				q := v2draw.New(uint64(c*requests+n)).Request(d, soon)
				target := strings.TrimSuffix(q.Path+"?"+q.Query, "?")
				if strings.ContainsAny(target, " \u2028") || q.ContentType == "" && q.Body != "" {
					continue
				}
				if _, now, _ := s.do(d.through, q.Method, target, q.Body); now > 0 {
					index.Store(now)
				}
			}
		})
	}
	all.Wait()
}

// lasting matches the seconds that are left to a node, if they are many.
var lasting = regexp.MustCompile(`"ttl":\d{4,},`)

// expiresSoon reports whether a node in an answer expires soon. One that is due has no ttl.
func expiresSoon(body string) bool {
	return strings.Count(body, `"expiration":`) > len(lasting.FindAllString(body, -1))
}

// TestSeveralProxiesAnswerAlike sends random requests through three proxies at the same time, and
// compares what they answer then: the tree, and each event that they remember.
func TestSeveralProxiesAnswerAlike(t *testing.T) {
	t.Parallel()
	s := startSeveral(t, newestRelease())
	s.draw(6, 150)
	var fill sync.WaitGroup
	for c := range 6 {
		fill.Go(func() {
			for n := range 170 {
				s.do(c%3, "PUT", fmt.Sprintf("/filled/%d", c), fmt.Sprint("value=", n))
			}
		})
	}
	fill.Wait()
	hidden := []string{"?recursive=true&quorum=true&sorted=true", "/_h?quorum=true", "/a/_h?quorum=true&recursive=true&sorted=true"}
	fronttest.Eventually(t, "no node is about to expire", func() bool {
		for _, target := range hidden {
			if _, _, body := s.do(0, "GET", target, ""); expiresSoon(body) {
				return false
			}
		}
		return true
	})
	last, _, _ := s.do(0, "PUT", "/last", "value=1")
	_, index, _ := s.do(0, "GET", "/last?quorum=true", "")
	if last != 201 {
		t.Fatalf("writing the last key: got %d, want 201", last)
	}
	for _, target := range hidden {
		if got, _ := s.equal(target); got != index {
			t.Errorf("%s: got the index %d, want %d", target, got, index)
		}
	}
	events, cleared := 0, 0
	for since := max(index, 1010) - 1010; since <= index; since++ {
		_, body := s.equal(fmt.Sprintf("/?wait=true&recursive=true&waitIndex=%d", since))
		switch {
		case strings.HasPrefix(body, `{"action":`):
			events++
		case strings.HasPrefix(body, `{"errorCode":401,`):
			cleared++
		default:
			t.Fatalf("the event since %d: got %s, want an event or that it is forgotten", since, body)
		}
	}
	if events < 900 || cleared == 0 {
		t.Errorf("got %d events and %d times that they are forgotten, want 1000 events, and some that are", events, cleared)
	}
}

// TestSeveralProxiesChooseNamesInOrder posts through the proxies in turn, and through all at once.
func TestSeveralProxiesChooseNamesInOrder(t *testing.T) {
	t.Parallel()
	s := startSeveral(t, newestRelease())
	post := func(i int) (name, created uint64) {
		status, _, body := s.do(i, "POST", "/queue", "value=1")
		var e struct{ Node v2store.Node }
		err := json.Unmarshal([]byte(body), &e)
		if err == nil {
			name, err = strconv.ParseUint(strings.TrimPrefix(e.Node.Key, "/queue/"), 10, 64)
		}
		if err != nil || status != 201 || len(e.Node.Key) != len("/queue/")+20 {
			t.Errorf("a POST through proxy %d: got %d %s, %v; want a key of 20 digits", i, status, body, err)
		}
		return name, e.Node.CreatedIndex
	}
	before := uint64(0)
	for n := range 30 {
		name, created := post(n % 3)
		// A session that starts at etcd, or is renewed, in between takes an index.
		if name <= before || name > created {
			t.Errorf("POST %d: got the name %d at the index %d, after the index %d; want the index as the name", n, name, created, before)
		}
		before = created
	}
	var all sync.WaitGroup
	var mu sync.Mutex
	chosen := map[uint64]uint64{} // by index
	for c := range 9 {
		all.Go(func() {
			for range 20 {
				name, created := post(c % 3)
				mu.Lock()
				chosen[created] = name
				mu.Unlock()
			}
		})
	}
	all.Wait()
	_, body := s.equal("/queue?sorted=true&quorum=true")
	var listed struct {
		Node struct{ Nodes []v2store.Node }
	}
	if err := json.Unmarshal([]byte(body), &listed); err != nil || len(listed.Node.Nodes) != 30+len(chosen) || len(chosen) != 180 {
		t.Fatalf("the queue has %d entries, of which %d were made at once, %v; want 210 and 180", len(listed.Node.Nodes), len(chosen), err)
	}
	created := uint64(0)
	for _, n := range listed.Node.Nodes {
		if n.CreatedIndex <= created {
			t.Errorf("%s was created at the index %d, want one above %d: the names are in order", n.Key, n.CreatedIndex, created)
		}
		created = n.CreatedIndex
	}
}

package proxy_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// watched is a key or a tree that is watched.
type watched struct {
	key       string
	recursive bool
}

func (w watched) query(waitIndex uint64) string {
	query := url.Values{"wait": {"true"}}
	if w.recursive {
		query.Set("recursive", "true")
	}
	if waitIndex > 0 {
		query.Set("waitIndex", strconv.FormatUint(waitIndex, 10))
	}
	return "/v2/keys" + w.key + "?" + query.Encode()
}

// shadow watches at etcd itself, in both ways. live comes from a stream and has the events
// that a watch gets if it started before them. late comes from repeated watches with a
// waitIndex and has also the events that only etcd's history contains.
type shadow struct {
	watched
	url    string
	client http.Client

	mu   sync.Mutex
	live map[uint64]string
	late map[uint64]string
	gaps [2][][2]uint64 // of live: without a watch; of late: older than the history
	seen [2]uint64      // the last indices of live and late
}

func newShadow(base string, w watched) *shadow {
	return &shadow{watched: w, url: base, live: map[uint64]string{}, late: map[uint64]string{}}
}

// record stores an event. A stream gets some events twice.
func (s *shadow) record(events map[uint64]string, which int, body string) error {
	index, err := eventIndex(body)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	events[index] = withoutTTL.ReplaceAllString(body, "")
	s.seen[which] = max(s.seen[which], index)
	return nil
}

// withoutTTL matches the field that etcd itself reports differently for one event: after a
// restart etcd knows the time of expiry, but not the seconds until then.
var withoutTTL = regexp.MustCompile(`"ttl":-?\d+,`)

func eventIndex(body string) (uint64, error) {
	var event struct {
		Node struct{ ModifiedIndex uint64 }
	}
	if err := json.Unmarshal([]byte(body), &event); err != nil || event.Node.ModifiedIndex == 0 {
		return 0, fmt.Errorf("not a valid event: %q", body)
	}
	return event.Node.ModifiedIndex, nil
}

// onlyInHistory reports whether a watch gets an event only by its waitIndex. This holds
// for events of hidden keys below, and for the end of a directory above a key that did not
// exist.
func (w watched) onlyInHistory(body string) bool {
	var event struct{ Node struct{ Key string } }
	if json.Unmarshal([]byte(body), &event) != nil {
		return false
	}
	below, under := strings.CutPrefix(event.Node.Key, w.key+"/")
	return under && w.recursive && strings.Contains("/"+below, "/_") || w.endsAbove(body)
}

// endsAbove reports whether an event ends a directory above.
func (w watched) endsAbove(body string) bool {
	var event struct {
		Action string
		Node   struct{ Key string }
	}
	return json.Unmarshal([]byte(body), &event) == nil && (event.Action == "delete" || event.Action == "expire") &&
		strings.HasPrefix(w.key, event.Node.Key+"/")
}

// run watches until ctx ends, also across restarts of etcd.
func (s *shadow) run(ctx context.Context, t *testing.T, started *sync.WaitGroup) {
	var both sync.WaitGroup
	first := sync.OnceFunc(started.Done)
	both.Go(func() {
		for ctx.Err() == nil {
			_ = s.stream(ctx, t, first)
		}
	})
	both.Go(func() {
		for ctx.Err() == nil {
			s.poll(ctx, t)
		}
	})
	both.Wait()
}

func (s *shadow) get(ctx context.Context, target string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, "GET", s.url+target, nil)
	if err != nil {
		return nil, err
	}
	return s.client.Do(req)
}

func (s *shadow) stream(ctx context.Context, t *testing.T, started func()) error {
	resp, err := s.get(ctx, s.query(0)+"&stream=true")
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	index, err := strconv.ParseUint(resp.Header.Get("X-Etcd-Index"), 10, 64)
	if err != nil {
		return err
	}
	s.mu.Lock()
	if index > s.seen[0] {
		s.gaps[0] = append(s.gaps[0], [2]uint64{s.seen[0] + 1, index})
	}
	s.mu.Unlock()
	started()
	lines := bufio.NewReader(resp.Body)
	for {
		line, err := lines.ReadString('\n')
		if err != nil {
			return err
		}
		if err := s.record(s.live, 0, line); err != nil {
			t.Error(err)
		}
	}
}

func (s *shadow) poll(ctx context.Context, t *testing.T) {
	resp, err := s.get(ctx, s.query(s.seen[1]+1))
	if err != nil {
		return
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil || len(body) == 0 {
		return
	}
	if resp.StatusCode != 200 { // the index is older than etcd's history: this shadow was too slow
		var cleared struct{ Index uint64 }
		if err := json.Unmarshal(body, &cleared); err != nil || cleared.Index <= s.seen[1] {
			t.Errorf("watching at etcd since %d: got %d %s, want an event or a later index", s.seen[1]+1, resp.StatusCode, body)
			return
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		s.gaps[1] = append(s.gaps[1], [2]uint64{s.seen[1] + 1, cleared.Index})
		s.seen[1] = cleared.Index
		return
	}
	if err := s.record(s.late, 1, string(body)); err != nil {
		t.Error(err)
	}
}

// reached reports whether both live and late have the event of an index or a later one.
func (s *shadow) reached(index uint64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.seen[0] >= index && s.seen[1] >= index
}

// check compares live and late: each live event must be in the history.
func (s *shadow) check(t *testing.T) {
	t.Helper()
	for index, body := range s.live {
		if s.late[index] != body && !s.gap(1, index) {
			t.Errorf("%v: event %d is %q live and %q late", s.watched, index, body, s.late[index])
		}
	}
}

// gap reports whether an index is in a gap of live (0) or of late (1).
func (s *shadow) gap(which int, index uint64) bool {
	for _, g := range s.gaps[which] {
		if g[0] <= index && index <= g[1] {
			return true
		}
	}
	return false
}

package main

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	client "go.etcd.io/etcd/client/v2"
)

// fill writes keys that the recovered cluster must contain.
func (s *story) fill() {
	s.t.Helper()
	for i := range 20 {
		key, value := fmt.Sprintf("/kept/%d/key", i), fmt.Sprintf("value %d", i)
		if _, err := s.keys.Set(s.t.Context(), key, value, nil); err != nil {
			s.t.Fatal(err)
		}
		s.kept[key] = value
	}
	for i := range 5 {
		got, err := s.keys.CreateInOrder(s.t.Context(), "/kept/queue", strconv.Itoa(i), nil)
		if err != nil {
			s.t.Fatal(err)
		}
		s.kept[got.Node.Key] = strconv.Itoa(i)
	}
	if _, err := s.keys.Set(s.t.Context(), "/kept/lock", "mine", &client.SetOptions{TTL: time.Hour}); err != nil {
		s.t.Fatal(err)
	}
	s.kept["/kept/lock"] = "mine"
}

// check reads the keys of fill through each proxy.
func (s *story) check() {
	s.t.Helper()
	for n := 1; n <= machineCount; n++ {
		got, err := s.api("root", n).Get(s.t.Context(), "/kept", &client.GetOptions{Recursive: true, Sort: true, Quorum: true})
		if err != nil {
			s.t.Fatalf("reading /kept through proxy %d: %v", n, err)
		}
		found := make(map[string]string)
		var queue []string
		var walk func(*client.Node)
		walk = func(node *client.Node) {
			if !node.Dir {
				found[node.Key] = node.Value
			}
			if strings.HasPrefix(node.Key, "/kept/queue/") {
				queue = append(queue, node.Value)
			}
			if (node.Key == "/kept/lock") != (node.TTL > 0) || node.TTL > 3600 {
				s.t.Errorf("proxy %d: got the TTL %d of %s, want one below an hour for /kept/lock alone", n, node.TTL, node.Key)
			}
			for _, child := range node.Nodes {
				walk(child)
			}
		}
		walk(got.Node)
		for key, value := range s.kept {
			if found[key] != value {
				s.t.Errorf("proxy %d: %s is %q, want %q as before the backup", n, key, found[key], value)
			}
		}
		if len(found) != len(s.kept) || !slices.Equal(queue, []string{"0", "1", "2", "3", "4"}) {
			s.t.Errorf("proxy %d: got %d keys, want %d; got the queue %v, want 0 to 4", n, len(found), len(s.kept), queue)
		}
	}
	before := s.writes.Load()
	for limit := time.Now().Add(20 * time.Second); s.writes.Load() == before; time.Sleep(10 * time.Millisecond) { //nolint:forbidigo // the client's process signals nothing
		if time.Now().After(limit) {
			s.t.Fatal("the client has not written for 20s after the recovery")
		}
	}
}

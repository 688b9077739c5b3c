package v2v3

import (
	"context"
	"log/slog"
	"strings"
	"sync"
	"testing"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"etcd-tlsproxy/proxy/v2v3/layout"
)

// lines keeps what is logged.
type lines struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *lines) Write(line []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(line)
}

// count returns how often a text was logged.
func (l *lines) count(text string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.text.String(), text)
}

// TestTheLogNamesTheCommandThatMakesATree starts a store before its etcd can be reached.
func TestTheLogNamesTheCommandThatMakesATree(t *testing.T) {
	_, o := startEtcd(t)
	link := newLink(t, o.Endpoints[0].Addr)
	link.Cut()
	var logged lines
	o.Log = slog.New(slog.NewTextHandler(&logged, nil))
	o.Endpoints = []Endpoint{{Addr: address(t, link.URL())}}
	s, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	const warning = "not followed any more"
	eventually(t, "the log has a warning", func() bool { return logged.count(warning) == 1 })
	link.Mend()
	eventually(t, "the log names the command", func() bool { return logged.count("migrate init") > 0 })
	if n := logged.count(warning); n != 2 {
		t.Errorf("the log has %d warnings, want one of the connection and one of the tree", n)
	}
}

// TestATreeOfARehearsalIsNeverServed points a store at such a tree.
func TestATreeOfARehearsalIsNeverServed(t *testing.T) {
	f := start(t)
	f.do("PUT /a?value=1")
	meta := f.described()
	meta.State, meta.Generation = layout.Rehearsal, "another"
	if _, err := f.client().Put(testContext(t), &pb.PutRequest{Key: f.keys.Meta(), Value: meta.Encode()}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the store that served it refuses", func() bool { return !f.Status().Serving })
	s, err := Open(f.options)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	eventually(t, "another store refuses", func() bool { return strings.Contains(s.Status().Reason, "rehearsal") })
	m, err := LoadCopy(testContext(t), f.options)
	if err != nil || m.Tree.Len() != 1 {
		t.Errorf("loading it for a comparison: got %+v and the error %v, want one node", m, err)
	}
	f.options.Endpoints = []Endpoint{{Addr: "127.0.0.1:1"}, f.options.Endpoints[0]}
	if _, err := LoadCopy(context.Background(), f.options); err != nil {
		t.Errorf("with a dead endpoint before the other: got the error %v, want none", err)
	}
}

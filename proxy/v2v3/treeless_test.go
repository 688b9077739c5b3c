package v2v3

import (
	"log/slog"
	"strings"
	"sync"
	"testing"
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

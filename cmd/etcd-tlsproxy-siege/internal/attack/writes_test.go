package attack

import (
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
)

// TestWritersGoOnWhateverTheAnswersAre has a server that refuses most writes, and closes some connections.
func TestWritersGoOnWhateverTheAnswersAre(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]struct {
		method, prefix string
		body           int
	}{
		"fill":  {"PUT", "/v2/keys/open/fill", len("value=") + fillSize},
		"queue": {"POST", "/v2/keys/open/queue", len("value=x")},
	} {
		for _, protocol := range []string{HTTP11, HTTP2} {
			t.Run(name+" "+protocol, func(t *testing.T) {
				t.Parallel()
				var received atomic.Int64
				many := make(chan struct{})
				spec := newServer(t, func(w http.ResponseWriter, r *http.Request) {
					body, err := io.ReadAll(r.Body)
					if r.Method != want.method || !strings.HasPrefix(r.URL.Path, want.prefix) || len(body) != want.body && err == nil {
						t.Errorf("got %s %s with %d bytes, want %s %s with %d", r.Method, r.URL.Path, len(body), want.method, want.prefix, want.body)
					}
					switch n := received.Add(1); {
					case n == 3*queueConnections:
						close(many)
					case n%10 == 0:
						w.Header().Set("Connection", "close")
					}
					w.WriteHeader(507)
				})
				spec.Attack, spec.Protocol = name, protocol
				if r := attackUntil(t, spec, func() { <-many }); r.Answers < 2*queueConnections || r.Wrong != 0 {
					t.Errorf("got %+v, want hundreds of answers and nothing wrong", r)
				}
			})
		}
	}
}

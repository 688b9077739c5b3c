package cluster

import (
	"context"
	"net/http"
	"os"
	"testing"
)

func TestAPasswordIsNotSentInPlaintextToAnotherMachine(t *testing.T) {
	sent := ""
	transport := roundTrip(func(r *http.Request) (*http.Response, error) {
		user, _, _ := r.BasicAuth()
		sent += r.URL.Scheme + "://" + r.URL.Hostname() + " " + user + "; "
		return nil, os.ErrDeadlineExceeded
	})
	p := &QuorumProbe{http.Client{Transport: transport}, "root", "secret"}
	for _, url := range []string{"http://conf1001.example.org:2379", "https://conf1001.example.org:4001", "http://127.0.0.1:2379"} {
		_, _ = p.get(context.Background(), url, "/v2/keys/")
	}
	if want := "http://conf1001.example.org ; https://conf1001.example.org root; http://127.0.0.1 root; "; sent != want {
		t.Errorf("users in requests: got %q, want %q", sent, want)
	}
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// Package daemontest runs a service with its files in a test.
package daemontest

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/daemon"
	"etcd-tlsproxy/proxy/proxytest"
)

// SeedConfig is a format of a small configuration; its argument is etcd's URL.
const SeedConfig = `listen = "127.0.0.1:0"
admin = "127.0.0.1:0"
[upstream]
endpoints = ["%s"]
[tls]
certificate = "server.crt"
key = "server.key"
[auth]
htpasswd = ["htpasswd"]
[limits]
drain = "5s"
[acls]
"/" = ["root"]
"/conftool" = ["root", "conftool"]
"/eventlogging" = []
`

// Service is a running service.
type Service struct {
	T   testing.TB
	Dir string
	PKI *proxytest.PKI
	// Log is everything that the service writes to its standard error.
	Log    *Output
	Hangup chan os.Signal
	// Stop starts the drain.
	Stop func()
	// URL and AdminURL are where the service listens.
	URL, AdminURL string

	admin *http.Client
	wait  func() error
}

// Echo is a handler in the place of etcd, for tests that need no store.
func Echo(w http.ResponseWriter, r *http.Request) {
	_, _ = io.WriteString(w, r.Method+" "+r.RequestURI)
}

// New starts a service before an etcd that handler stands in for.
func New(t testing.TB, handler http.HandlerFunc) *Service {
	t.Helper()
	etcd := httptest.NewServer(handler)
	t.Cleanup(etcd.Close)
	return Start(t, fmt.Sprintf(SeedConfig, etcd.URL))
}

// Start starts a service with a configuration, and waits until it serves. The
// service has a certificate, and the users root (root-1) and conftool (conftool-1).
func Start(t testing.TB, config string) *Service {
	t.Helper()
	return StartWith(t, config, nil)
}

// StartWith is like [Start], with further files.
func StartWith(t testing.TB, config string, files map[string]string) *Service {
	t.Helper()
	s := &Service{T: t, Dir: t.TempDir(), Log: &Output{}, Hangup: make(chan os.Signal, 1)}
	var err error
	if s.PKI, err = proxytest.NewPKI(); err != nil {
		t.Fatal(err)
	}
	s.WriteCertificate()
	s.WriteUsers(map[string]string{"root": "root-1", "conftool": "conftool-1"})
	s.Write("etcd-tlsproxy.toml", config)
	for name, text := range files {
		s.Write(name, text)
	}
	ctx, stop := context.WithCancel(context.Background())
	s.Stop = stop
	result := make(chan error, 1)
	go func() {
		result <- daemon.Run(ctx, daemon.Options{
			File: s.Path("etcd-tlsproxy.toml"), Version: "(test)", Hangup: s.Hangup, Stdout: io.Discard, Stderr: s.Log,
		})
	}()
	s.wait = sync.OnceValue(func() error { return <-result })
	t.Cleanup(s.Close)
	s.admin = &http.Client{Transport: &http.Transport{}}
	t.Cleanup(s.admin.CloseIdleConnections)
	addresses := regexp.MustCompile(`msg=serving .* listen=(\S+) admin=(\S+)`)
	s.Eventually("the service serves", func() bool { return addresses.MatchString(s.Log.String()) })
	found := addresses.FindStringSubmatch(s.Log.String())
	s.URL, s.AdminURL = "https://"+found[1], "http://"+found[2]
	return s
}

// Close stops the service and waits until it has ended, which must be without an
// error.
func (s *Service) Close() {
	s.T.Helper()
	s.Stop()
	if err := s.wait(); err != nil {
		s.T.Errorf("the service ended with the error %v", err)
	}
}

// Eventually waits until a condition holds.
func (s *Service) Eventually(what string, reached func() bool) {
	s.T.Helper()
	for limit := time.Now().Add(10 * time.Second); !reached(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(limit) {
			s.T.Fatalf("after 10s it is still not true that %s; the log:\n%s", what, s.Log)
		}
	}
}

// Output is a log that a test reads while it is written.
type Output struct {
	mu   sync.Mutex
	text strings.Builder
}

func (o *Output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(p)
}

// String returns what was written so far.
func (o *Output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// Transport returns a transport that trusts the service.
func (s *Service) Transport() *http.Transport {
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: s.PKI.Pool()}}
	s.T.Cleanup(transport.CloseIdleConnections)
	return transport
}

package attack

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"encoding/json"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// newServer starts a server whose certificate is for localhost, and returns a Spec that attacks
// it.
func newServer(t *testing.T, handler http.HandlerFunc) Spec {
	t.Helper()
	s := httptest.NewUnstartedServer(handler)
	s.EnableHTTP2 = true
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	pair, ca := testCertificate(t)
	s.TLS = &tls.Config{Certificates: []tls.Certificate{pair}}
	s.StartTLS()
	t.Cleanup(s.Close)
	return Spec{Address: s.Listener.Addr().String(), Sources: []string{"127.1.1.1"}, CA: ca, Folder: "/open", Protocol: HTTP11}
}

// attackUntil runs an attack until end has returned, and returns its result.
func attackUntil(t *testing.T, spec Spec, end func()) Result {
	t.Helper()
	line, err := json.Marshal(spec)
	if err != nil {
		t.Fatal(err)
	}
	in, feed := io.Pipe()
	from, out := io.Pipe()
	done := make(chan error, 1)
	go func() {
		err := Run(in, out)
		_ = out.CloseWithError(io.EOF)
		done <- err
	}()
	if _, err := feed.Write(append(line, '\n')); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewReader(from)
	if ready, err := lines.ReadString('\n'); err != nil || ready != "ready\n" {
		t.Fatalf("waiting for the attackers: got %q, %v, want ready", ready, err)
	}
	end()
	_ = feed.Close()
	var r Result
	if err := json.NewDecoder(lines).Decode(&r); err != nil {
		t.Fatalf("reading the result: %v", err)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	return r
}

func TestConnectionsThatTheServerEndsAreCountedAsCut(t *testing.T) {
	t.Parallel()
	for _, protocol := range []string{HTTP11, HTTP2} {
		t.Run(protocol, func(t *testing.T) {
			closer, spec := closingServer(t)
			spec.Attack, spec.Protocol = "halfheads", protocol
			r := attackUntil(t, spec, closer.wait)
			if r.Opened != halfConnections || r.Cut != halfConnections || r.Open != 0 {
				t.Errorf("got %+v, want %d connections opened and cut, and none open", r, halfConnections)
			}
		})
	}
}

func TestConnectionsThatTheServerKeepsAreCountedAsOpen(t *testing.T) {
	for _, protocol := range []string{HTTP10, HTTP11, HTTP2} {
		t.Run(protocol, func(t *testing.T) {
			spec := newServer(t, http.NotFound)
			spec.Attack, spec.Protocol = "halfheads", protocol
			r := attackUntil(t, spec, func() {})
			if r.Opened != halfConnections || r.Cut != 0 || r.Open != halfConnections {
				t.Errorf("got %+v, want %d connections opened and open, and none cut", r, halfConnections)
			}
		})
	}
}

func TestReconnectingAttackersReplaceWhatIsCut(t *testing.T) {
	t.Parallel()
	closer, spec := closingServer(t)
	spec.Attack, spec.Reconnect = "halfheads", true
	r := attackUntil(t, spec, func() { closer.waitFor(3 * halfConnections) })
	if r.Opened < 2*halfConnections {
		t.Errorf("got %+v, want at least %d connections", r, 2*halfConnections)
	}
}

// TestAttackersTakeNoByteOfABody is what makes slow readers slow.
func TestAttackersTakeNoByteOfABody(t *testing.T) {
	t.Parallel()
	for _, protocol := range []string{HTTP11, HTTP2} {
		t.Run(protocol, func(t *testing.T) {
			asked := make(chan struct{}, 1<<16)
			body := make([]byte, 8<<20)
			spec := newServer(t, func(w http.ResponseWriter, r *http.Request) {
				asked <- struct{}{}
				if _, err := w.Write(body); err == nil {
					t.Errorf("the answer to %s was taken, want none to be", r.URL)
				}
			})
			spec.Attack, spec.Protocol = "slowreaders", protocol
			r := attackUntil(t, spec, func() { <-asked })
			if r.Opened == 0 || r.Bytes > 0 {
				t.Errorf("got %+v, want connections, and no byte of a body", r)
			}
		})
	}
}

func TestAWrongPasswordThatIsAcceptedIsReported(t *testing.T) {
	for _, protocol := range []string{HTTP11, HTTP2} {
		t.Run(protocol, func(t *testing.T) {
			asked := make(chan struct{}, 1<<16)
			spec := newServer(t, func(w http.ResponseWriter, r *http.Request) {
				if _, password, ok := r.BasicAuth(); !ok || !strings.HasPrefix(password, "wrong") {
					t.Errorf("got password %q, want a wrong one", password)
				}
				w.WriteHeader(http.StatusCreated)
				asked <- struct{}{}
			})
			spec.Attack, spec.Protocol = "guesses", protocol
			r := attackUntil(t, spec, func() {
				for range guessers + 1 { // at least one attacker has its answer
					<-asked
				}
			})
			if r.Wrong == 0 || !strings.Contains(r.WrongWhat, "a wrong password was accepted with status 201") {
				t.Errorf("got %+v, want a report of status 201", r)
			}
		})
	}
}

func TestUploadsSendTheirCreditAndDoNotEnd(t *testing.T) {
	t.Parallel()
	for _, protocol := range []string{HTTP11, HTTP2} {
		t.Run(protocol, func(t *testing.T) {
			credit := make(chan int64, unfinished)
			spec := newServer(t, func(_ http.ResponseWriter, r *http.Request) {
				n, _ := io.CopyN(io.Discard, r.Body, sentBody)
				credit <- n
				if _, err := io.Copy(io.Discard, r.Body); err == nil {
					t.Error("an upload has ended, want none to end")
				}
			})
			spec.Attack, spec.Protocol = "uploads", protocol
			attackUntil(t, spec, func() {
				for range unfinished {
					if n := <-credit; n != sentBody {
						t.Errorf("got %d bytes of an upload, want %d", n, sentBody)
					}
				}
			})
		})
	}
}

func TestAFloodCountsItsAnswers(t *testing.T) {
	for _, protocol := range []string{HTTP11, HTTP2} {
		t.Run(protocol, func(t *testing.T) {
			many := make(chan struct{}, 1<<20)
			spec := newServer(t, func(w http.ResponseWriter, _ *http.Request) {
				w.WriteHeader(http.StatusUnauthorized)
				many <- struct{}{}
			})
			spec.Attack, spec.Protocol = "refusals", protocol
			r := attackUntil(t, spec, func() {
				for range 1000 {
					<-many
				}
			})
			if r.Answers == 0 || r.Cut > 0 {
				t.Errorf("got %+v, want answers, and no connection cut", r)
			}
		})
	}
}

func TestAFloodTakesMoreThanOneWindow(t *testing.T) {
	t.Parallel()
	const size = 4 << 20
	body := make([]byte, size)
	taken := make(chan struct{}, 1<<16)
	spec := newServer(t, func(w http.ResponseWriter, _ *http.Request) {
		if _, err := w.Write(body); err == nil {
			taken <- struct{}{}
		}
	})
	spec.Attack, spec.Protocol = "refusals", HTTP2
	attackUntil(t, spec, func() {
		for range 4*wideWindow/size + 1 { // on four connections
			<-taken
		}
	})
}

func TestAnUnknownAttackIsRefused(t *testing.T) {
	var out bytes.Buffer
	if err := Run(strings.NewReader(`{"Attack":"none"}`+"\n"), &out); err == nil {
		t.Error("an unknown attack was accepted")
	}
}

// closer is a server that ends each connection after its handshake.
type closer struct{ closed chan struct{} }

func closingServer(t *testing.T) (*closer, Spec) {
	t.Helper()
	pair, ca := testCertificate(t)
	config := &tls.Config{Certificates: []tls.Certificate{pair}, NextProtos: []string{"h2", "http/1.1"}}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ln.Close() })
	c := &closer{make(chan struct{}, 1<<16)}
	go func() {
		for {
			raw, err := ln.Accept()
			if err != nil {
				return
			}
			go func() {
				_ = tls.Server(raw, config).Handshake()
				_ = raw.Close()
				c.closed <- struct{}{}
			}()
		}
	}()
	return c, Spec{Address: ln.Addr().String(), Sources: []string{"127.1.1.1"}, CA: ca, Protocol: HTTP11}
}

func (c *closer) waitFor(n int) {
	for range n {
		<-c.closed
	}
}

// wait waits until all attackers were cut and had the time to see it.
func (c *closer) wait() {
	c.waitFor(halfConnections)
	timer := time.NewTimer(3 * beat)
	<-timer.C
}

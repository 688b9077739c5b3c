// Package dnstest provides a DNS server for tests, on loopback, over UDP and TCP. It is
// separate from proxytest, so that the demo does not contain it.
package dnstest

import (
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"

	"github.com/miekg/dns"
)

// Server answers queries for every name: with its records, or that there are none.
type Server struct {
	t    testing.TB
	addr string

	mu      sync.Mutex
	records []dns.RR
	failing map[string]bool
	before  func(name string)
	asked   map[string]int // the key is the network, a space, and the name
}

// New starts a server, which is closed when the test ends.
func New(t testing.TB) *Server {
	t.Helper()
	s := &Server{t: t, failing: make(map[string]bool), asked: make(map[string]int)}
	stream, packets := s.listen()
	s.addr = stream.Addr().String()
	for _, server := range []*dns.Server{{Listener: stream}, {PacketConn: packets}} {
		started, ended := make(chan struct{}), make(chan error, 1)
		server.Handler, server.NotifyStartedFunc = dns.HandlerFunc(s.answer), func() { close(started) }
		go func() { ended <- server.ActivateAndServe() }()
		<-started
		t.Cleanup(func() {
			if err := server.Shutdown(); err != nil {
				t.Error(err)
			}
			if err := <-ended; err != nil {
				t.Error(err)
			}
		})
	}
	return s
}

// listen finds a port that is free for both protocols.
func (s *Server) listen() (net.Listener, net.PacketConn) {
	s.t.Helper()
	var last error
	for range 20 {
		stream, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			s.t.Fatal(err)
		}
		packets, err := net.ListenPacket("udp", stream.Addr().String())
		if err == nil {
			return stream, packets
		}
		last = err
		stream.Close()
	}
	s.t.Fatalf("no port is free for UDP and TCP: %v", last)
	return nil, nil
}

// Addr returns the server's address as host:port.
func (s *Server) Addr() string { return s.addr }

// Set replaces all records, and undoes Fail. The records are in the form of a zone file:
// "a.example.org. IN A 192.0.2.1".
func (s *Server) Set(records ...string) {
	s.t.Helper()
	parsed := make([]dns.RR, len(records))
	for i, text := range records {
		var err error
		if parsed[i], err = dns.NewRR(text); err != nil {
			s.t.Fatalf("%q: %v", text, err)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.records = parsed
	clear(s.failing)
}

// Fail makes the server answer queries for a name with SERVFAIL.
func (s *Server) Fail(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failing[dns.Fqdn(name)] = true
}

// Before makes the server call a function with the name of each query before it answers it. Queries
// over UDP are answered concurrently.
func (s *Server) Before(f func(name string)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.before = f
}

// Asked returns the number of queries for a name over a network, "udp" or "tcp".
func (s *Server) Asked(network, name string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.asked[network+" "+dns.Fqdn(name)]
}

func (s *Server) answer(w dns.ResponseWriter, question *dns.Msg) {
	s.mu.Lock()
	before := s.before
	s.mu.Unlock()
	if before != nil {
		before(strings.TrimSuffix(strings.ToLower(question.Question[0].Name), "."))
	}
	answer := s.find(w.RemoteAddr().Network(), question)
	if w.RemoteAddr().Network() == "udp" {
		room := dns.MinMsgSize
		if options := question.IsEdns0(); options != nil {
			room = int(options.UDPSize())
		}
		answer.Truncate(room)
	}
	_ = w.WriteMsg(answer) // the client may have disconnected
}

func (s *Server) find(network string, question *dns.Msg) *dns.Msg {
	s.mu.Lock()
	defer s.mu.Unlock()
	q := question.Question[0]
	name := strings.ToLower(q.Name)
	s.asked[network+" "+name]++
	answer := new(dns.Msg)
	if s.failing[name] {
		return answer.SetRcode(question, dns.RcodeServerFailure)
	}
	answer.SetRcode(question, dns.RcodeNameError)
	answer.Authoritative = true
	s.collect(answer, name, q.Qtype)
	return answer
}

// collect adds the records of a name, and of the one that its CNAME leads to.
func (s *Server) collect(answer *dns.Msg, name string, kind uint16) {
	for _, record := range s.records {
		if strings.ToLower(record.Header().Name) != name {
			continue
		}
		answer.Rcode = dns.RcodeSuccess // the name exists, although it may have no records of the type
		alias, leads := record.(*dns.CNAME)
		if record.Header().Rrtype == kind || leads {
			answer.Answer = append(answer.Answer, record)
		}
		if leads && kind != dns.TypeCNAME {
			s.collect(answer, strings.ToLower(alias.Target), kind)
		}
	}
}

// SRV returns the record of a member in the form that Set reads.
func SRV(service, domain string, priority, weight int, target string, port any) string {
	return fmt.Sprintf("_%s._tcp.%s. 60 IN SRV %d %d %v %s.", service, domain, priority, weight, port, target)
}

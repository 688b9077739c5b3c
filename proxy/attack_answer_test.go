package proxy_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"etcd-tlsproxy/proxy/lane"
	"etcd-tlsproxy/proxy/proxytest"
	"etcd-tlsproxy/proxy/proxytest/fronttest"
	"etcd-tlsproxy/proxy/upstream"
)

// hostileAnswers returns answers that a compromised etcd, or another server on its port,
// could send. Sources: RFC 9112 6.3 and 11.1; the counterpart of CVE-2019-9741 in
// answers; response smuggling as in James Kettle, HTTP Desync Attacks (2019).
func hostileAnswers() []string {
	const ok = "HTTP/1.1 200 OK\r\n"
	const second = "HTTP/1.1 200 OK\r\nX-Evil: 1\r\nContent-Length: 4\r\n\r\nevil"
	list := []string{
		"", "H", "HTTP/1.1", "HTTP/1.1 200", ok, ok + "Content-Length: 2\r\n", ok + "\r\n" + "no length and then the end",
		"HTTP/1.1 20 OK\r\nContent-Length: 2\r\n\r\n{}", "HTTP/1.1 2000 OK\r\nContent-Length: 2\r\n\r\n{}", "HTTP/1.1 abc OK\r\nContent-Length: 2\r\n\r\n{}", "HTTP/1.1 -20 OK\r\nContent-Length: 2\r\n\r\n{}",
		"HTTP/1.1 000 OK\r\nContent-Length: 2\r\n\r\n{}", "HTTP/1.1 099 OK\r\nContent-Length: 2\r\n\r\n{}", "HTTP/1.1 999 OK\r\nContent-Length: 2\r\n\r\n{}", "HTTP/1.1  200 OK\r\nContent-Length: 2\r\n\r\n{}", "HTTP/2.0 200 OK\r\nContent-Length: 2\r\n\r\n{}",
		"HTTP/0.9 200 OK\r\nContent-Length: 2\r\n\r\n{}", "http/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", "ICY 200 OK\r\n\r\n", "SSH-2.0-x\r\n", "\x15\x03\x01\x00\x02\x02\x28", "\x00\x00\x00\x04\x00\x00\x00\x00\x00", "220 mail ESMTP\r\n", "-ERR unknown command\r\n",
		"HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n" + second, "HTTP/1.1 100 Continue\r\n\r\n" + second, strings.Repeat("HTTP/1.1 100 Continue\r\n\r\n", 1000), "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" + ok + "Content-Length: 2\r\n\r\n{}",
		ok + "Content-Length: 2\r\nContent-Length: 6\r\n\r\n{}" + second, ok + "Content-Length: 2, 2\r\n\r\n{}", ok + "Content-Length: -2\r\n\r\n{}", ok + "Content-Length: +2\r\n\r\n{}", ok + "Content-Length: 0x2\r\n\r\n{}", ok + "Content-Length: 99999999999999999999\r\n\r\n{}",
		ok + "Content-Length:\r\n\r\n{}", ok + "Content-Length : 2\r\n\r\n{}", ok + "Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n", ok + "Transfer-Encoding: gzip\r\n\r\n{}", ok + "Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
		ok + "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", ok + "Transfer-Encoding: chunked\r\n\r\n0x2\r\n{}\r\n0\r\n\r\n", ok + "Transfer-Encoding: chunked\r\n\r\n2\n{}\n0\n\n", ok + "Transfer-Encoding: chunked\r\n\r\n2\r\n{}", ok + "Transfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n{}",
		ok + "Transfer-Encoding: chunked\r\n\r\n2\r\n{}x\r\n0\r\n\r\n", ok + "Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n" + second, ok + "Content-Length: 2\r\n\r\n{}" + second, ok + "Content-Length: 0\r\n\r\n" + second, "HTTP/1.1 204 No Content\r\nContent-Length: 4\r\n\r\nevil", "HTTP/1.1 204 No Content\r\n\r\n" + second,
		"HTTP/1.1 304 Not Modified\r\n\r\n" + second, ok + "Content-Length: 500\r\n\r\nshort", ok + "Content-Length: 2\n\n{}", "HTTP/1.1 200 OK\nContent-Length: 2\n\n{}", ok + "X: y\r\n z\r\nContent-Length: 2\r\n\r\n{}", ok + "X: \x00\r\nContent-Length: 2\r\n\r\n{}", ok + "X: a\rX-Evil: 1\r\nContent-Length: 2\r\n\r\n{}",
		ok + ": x\r\nContent-Length: 2\r\n\r\n{}", ok + "X Y: z\r\nContent-Length: 2\r\n\r\n{}", ok + "X\r\nContent-Length: 2\r\n\r\n{}", ok + "\xff: y\r\nContent-Length: 2\r\n\r\n{}", "HTTP/1.1 200 \x00\r\nContent-Length: 2\r\n\r\n{}", "HTTP/1.1 200 a\rb\r\nContent-Length: 2\r\n\r\n{}",
		ok + "X: " + strings.Repeat("x", 300_000) + "\r\nContent-Length: 2\r\n\r\n{}", ok + strings.Repeat("A: b\r\n", 5000) + "Content-Length: 2\r\n\r\n{}", "HTTP/1.1 200 " + strings.Repeat("x", 300_000), strings.Repeat("x", 300_000), strings.Repeat("\r\n", 1000) + second,
		ok + "Access-Control-Allow-Origin: *\r\nX-Evil: 1\r\nSet-Cookie: evil=1\r\nConnection: X-Evil\r\nContent-Length: 2\r\n\r\n{}", ok + "Upgrade: h2c\r\nConnection: Upgrade\r\nContent-Length: 2\r\n\r\n{}", ok + "Trailer: X-Evil\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX-Evil: 1\r\n\r\n",
		"HTTP/1.1 301 Moved\r\nLocation: http://evil/\r\nContent-Length: 0\r\n\r\n", "HTTP/1.1 407 Proxy\r\nProxy-Authenticate: Basic\r\nContent-Length: 0\r\n\r\n", "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\n{}" + second, second + second + second,
	}
	return list
}

// hostileEtcd starts a stand-in that sends answer for /evil and honest answers otherwise.
func hostileEtcd(t *testing.T, answer string, closes bool) string {
	return fronttest.StandInConns(t, func(c net.Conn) { serveHostile(c, answer, closes) })
}

func serveHostile(c net.Conn, answer string, closes bool) {
	in := bufio.NewReader(c)
	for {
		first, err := in.ReadString('\n')
		for line := first; err == nil && line != "\r\n"; {
			line, err = in.ReadString('\n')
		}
		if err != nil {
			return
		}
		if strings.Contains(first, "/evil") {
			if _, err := io.WriteString(c, answer); err != nil || closes {
				return
			}
			continue
		}
		target := strings.Fields(first)[1]
		if _, err := fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(target), target); err != nil {
			return
		}
	}
}

func TestNoAnswerOfAHostileEtcdReachesAnotherRequest(t *testing.T) {
	t.Parallel()
	fronttest.EachLane(t, func(t *testing.T, l fronttest.Lane) {
		var running sync.WaitGroup
		slots := make(chan struct{}, 16)
		for _, answer := range hostileAnswers() {
			for _, closes := range []bool{true, false} {
				endpoint := hostileEtcd(t, answer, closes)
				f := l.Front(t, endpoint, func(s *lane.Snapshot, _ *proxytest.PKI) {
					s.Upstream.Close()
					s.Upstream = fronttest.Pool(t, upstream.Options{HeaderTimeout: attackPatience(), BodyTimeout: attackPatience()}, endpoint)
					s.Reads = nil
				})
				slots <- struct{}{}
				running.Go(func() {
					defer func() { <-slots }()
					for _, method := range []string{"GET", "HEAD", "PUT"} {
						if wrong := afterEvil(t, f, method); wrong != "" {
							t.Errorf("%s after a hostile answer: %s\nthe answer: %.200q, and then etcd closes the connection: %v", method, wrong, answer, closes)
						}
					}
				})
			}
		}
		running.Wait()
	})
}

// afterEvil requests the hostile answer and then honest ones. It returns what is wrong
// with the answers, or an empty string.
func afterEvil(t *testing.T, f *fronttest.Front, method string) string {
	c := f.Dial()
	defer c.Close()
	began := time.Now()
	if err := c.Send(method + " /v2/keys/eventlogging/evil HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n"); err != nil {
		return err.Error()
	}
	a, err := c.Answer(method)
	if err == nil {
		switch _, evil := a.Field("X-Evil"); {
		case evil && strings.Contains(a.Body, "{}"), a.Status == 101, a.Status == 100:
			return fmt.Sprintf("answered with %+v", a)
		case a.Status >= 500 && method != "HEAD" && !strings.HasPrefix(a.Body, `{"errorCode":`) && a.Status != 999:
			return fmt.Sprintf("got an error without etcd's JSON body: %+v", a)
		}
	}
	if time.Since(began) > 8*time.Second {
		return "the answer took more than 8 s"
	}
	for i, timeouts := 0, 0; i < 4; i++ {
		target := fmt.Sprintf("/v2/keys/honest%d", i)
		if c.Send("GET "+target+" HTTP/1.1\r\nHost: h\r\n\r\n") != nil {
			c = f.Dial()
			continue
		}
		switch a, err := c.Answer("GET"); {
		case err != nil:
			c = f.Dial() // the proxy closed the connection, because the hostile answer was broken
		case a.Status == 504 && timeouts < 20:
			// The proxy waits only for attackPatience, which is short on a busy machine.
			timeouts++
			i--
		case a.Body != target || a.Status != 200:
			return fmt.Sprintf("%s was answered with %+v", target, a)
		}
	}
	return ""
}

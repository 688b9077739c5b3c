package proxy_test

import (
	"crypto/tls"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"etcd-tlsproxy/proxy"
	"etcd-tlsproxy/proxy/http1"
	"etcd-tlsproxy/proxy/proxytest"
	"etcd-tlsproxy/proxy/proxytest/fronttest"
)

// tagEcho starts a stand-in whose answers name the request that they belong to.
func tagEcho(t testing.TB) string {
	t.Helper()
	return fronttest.StandInConns(t, echoTags)
}

func echoTags(c net.Conn) {
	var r http1.Request
	buf, have := make([]byte, 64<<10), 0
	for {
		n, err := r.Parse(buf[:have], http1.Limits{})
		if err != nil {
			return
		}
		end := n + int(r.Length)
		if n == 0 || have < end {
			got, err := c.Read(buf[have:])
			if err != nil {
				return
			}
			have += got
			continue
		}
		body := r.Method + " " + r.Target + " " + string(buf[n:end])
		answer := fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
		if len(body)%3 == 0 { // like etcd's answers with trees
			answer = fmt.Sprintf("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n", len(body), body)
		}
		if _, err := c.Write([]byte(answer)); err != nil {
			return
		}
		have = copy(buf, buf[end:have])
	}
}

// requestsVariable sets the number of requests that TestNoAnswerIsLostDoubledOrMixedUp
// sends.
const requestsVariable = "ETCD_TLSPROXY_TEST_REQUESTS"

// TestNoAnswerIsLostDoubledOrMixedUp sends tagged requests from clients that pipeline,
// split, share and abort, and checks every answer.
func TestNoAnswerIsLostDoubledOrMixedUp(t *testing.T) {
	fronttest.EachLane(t, func(t *testing.T, l fronttest.Lane) {
		total := int64(20_000)
		if text := os.Getenv(requestsVariable); text != "" {
			var err error
			if total, err = strconv.ParseInt(text, 10, 64); err != nil {
				t.Fatal(err)
			}
		}
		f := l.FrontWith(t, tagEcho(t), withoutLogs, nil)
		config := &tls.Config{RootCAs: f.PKI.Pool(), ServerName: "localhost", ClientSessionCache: tls.NewLRUClientSessionCache(64)}
		var sent, aborted atomic.Int64
		var all sync.WaitGroup
		for id := range 16 {
			all.Go(func() {
				for round := 0; sent.Load() < total && !t.Failed(); round++ {
					if err := converse(f, config, id, round, &sent, &aborted); err != nil {
						t.Errorf("client %d, round %d: %v", id, round, err)
					}
				}
			})
		}
		all.Wait()
		t.Logf("%d requests, %d of them aborted, %d shared", sent.Load(), aborted.Load(), f.Metrics.SharedReads.Load())
	})
}

// withoutLogs turns off the access log and the audit log.
func withoutLogs(o *proxy.Options) {
	o.Observer.Records.Access.Switch(nil)
	o.Observer.Records.Audit.Switch(nil)
}

// converse opens a connection, sends some batches of requests on it, and closes it after
// an answer or in the middle.
func converse(f *fronttest.Front, config *tls.Config, id, round int, sent, aborted *atomic.Int64) error {
	c, err := proxytest.DialRaw(f.Addr, config)
	if err != nil {
		return err
	}
	defer c.Close()
	for batch := range 1 + rand.IntN(30) {
		var text strings.Builder
		var want []string
		for n := range 1 + rand.IntN(8) {
			one, answer := tagged(id, round, batch, n)
			text.WriteString(one)
			want = append(want, answer)
		}
		sent.Add(int64(len(want)))
		if err := sendSplit(c, text.String()); err != nil {
			return fmt.Errorf("sending: %w", err)
		}
		if rand.IntN(40) == 0 {
			aborted.Add(int64(len(want)))
			return nil // the client disconnects before it has its answers
		}
		for _, answer := range want {
			a, err := c.Answer("GET")
			if err != nil {
				return fmt.Errorf("reading an answer: got %w, want %q", err, answer)
			}
			if a.Status != 200 || a.Body != answer {
				return fmt.Errorf("got %+v, want status 200 with %q", a, answer)
			}
		}
	}
	return nil
}

// tagged returns a request and its answer. Most answers belong to one request alone; some
// requests read the same key.
func tagged(id, round, batch, n int) (request, answer string) {
	tag := fmt.Sprintf("/v2/keys/eventlogging/%d/%d/%d/%d", id, round, batch, n)
	switch rand.IntN(6) {
	case 0:
		body := strings.Repeat(strconv.Itoa(n), rand.IntN(2000))
		return fmt.Sprintf("PUT %s HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n%s", tag, len(body), body), "PUT " + tag + " " + body
	case 1:
		return "DELETE " + tag + " HTTP/1.1\r\nHost: h\r\n\r\n", "DELETE " + tag + " "
	case 2:
		return fmt.Sprintf("POST %s HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n", tag, len(tag), tag), "POST " + tag + " " + tag
	case 3, 4:
		tag = "/v2/keys/shared/" + strconv.Itoa(n)
	}
	return "GET " + tag + " HTTP/1.1\r\nHost: h\r\n\r\n", "GET " + tag + " "
}

// sendSplit sends a text in one or a few pieces.
func sendSplit(c *proxytest.Raw, text string) error {
	for rand.IntN(3) == 0 && len(text) > 1 {
		cut := 1 + rand.IntN(len(text)-1)
		if err := c.Send(text[:cut]); err != nil {
			return err
		}
		text = text[cut:]
	}
	return c.Send(text)
}

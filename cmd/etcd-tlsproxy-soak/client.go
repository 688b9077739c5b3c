package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"math/rand/v2"
	"os/exec"
	"sync"
	"time"

	"etcd-tlsproxy/cmd/etcd-tlsproxy-soak/internal/transport"
)

// client is one client. Several clients are of one kind and do the same.
type client struct {
	*soak
	kind   string
	id     int
	random *rand.Rand
	via    transport.Transport
}

func (s *soak) client(kind string, id int, via func(*client) transport.Transport) *client {
	c := &client{soak: s, kind: kind, id: id, random: s.source()}
	c.via = via(c)
	return c
}

// startClients starts all clients: those that send requests, and those that watch until the
// end. The report uses the names of the kinds.
func (s *soak) startClients(working, watching *sync.WaitGroup) {
	start := func(running *sync.WaitGroup, kind string, do func(*client), transports ...func(*client) transport.Transport) {
		for i, via := range transports {
			c := s.client(kind, i, via)
			running.Go(func() {
				defer func() { c.via.Close() }()
				do(c)
			})
		}
	}
	start(working, "tagged writer", (*client).writeVersions, http11, http2, trickling, certified)
	start(working, "tagged reader", (*client).readVersions, http11, http11, http11, http2, http2, http10, trickling, http11)
	start(working, "own counter", (*client).incrementOwn, http11, http2, http10)
	start(working, "shared counter", (*client).incrementShared, http11, http11, http2, certified)
	start(working, "poster", (*client).writePosts, http11, http11, http2, http10, trickling, certified)
	start(working, "watched writer", (*client).writeWatched, http11, http11, http2, http11, certified, http11)
	start(working, "expiring writer", (*client).writeExpiring, http11, http2, http10)
	start(watching, "watcher", (*client).watch, http11, http11, http11, http2, http2, http2, http10, http11, http11)
	start(working, "aborter", (*client).abort, http11, http11, http11)
	start(working, "pipeliner", (*client).pipeline, http11, http11, http11)
	start(working, "refused", (*client).sendRefused, http11, http2, http10)
	start(working, "guesser", (*client).guessPasswords, stranger, stranger)
	start(working, "guest", (*client).useGuest, guest)
	start(working, "narrow", (*client).useNarrow, http11, http2)
	if _, err := exec.LookPath("curl"); err == nil {
		start(working, "curl", (*client).useCurl, curl)
	}
	if hasEtcdctl(s.working) {
		start(working, "etcdctl", (*client).useEtcdctl, http11)
	}
}

// The transports of clients.

func http11(c *client) transport.Transport { return c.http1("1.1") }
func http10(c *client) transport.Transport { return c.http1("1.0") }

func http2(c *client) transport.Transport {
	return transport.NewClient(c.files.Listen, "", c.tls(""), true)
}

// trickling sends requests in pieces.
func trickling(c *client) transport.Transport {
	t := c.http1("1.1")
	t.Pieces = c.random
	return t
}

// stranger has its own address, because failed logins make an address wait.
func stranger(c *client) transport.Transport {
	return transport.NewClient(c.files.Listen, "127.0.0.2", c.tls(""), c.id%2 == 0)
}

// guest has its own address: its logins fail while the user is removed.
func guest(c *client) transport.Transport {
	return transport.NewClient(c.files.Listen, "127.0.0.3", c.tls(""), true)
}

// certified is the user worker, identified by a certificate instead of a password.
func certified(c *client) transport.Transport {
	return transport.Nameless{Transport: transport.NewClient(c.files.Listen, "", c.tls("worker"), c.id%2 == 0)}
}

func curl(c *client) transport.Transport {
	return &transport.Curl{Addr: c.files.Listen, CA: c.files.CA(), Random: c.random}
}

func (c *client) http1(version string) *transport.HTTP1 {
	return &transport.HTTP1{Addr: c.files.Listen, Config: c.tls(""), Version: version}
}

func (s *soak) tls(name string) *tls.Config {
	config, err := s.files.ClientTLS(name)
	if err != nil {
		panic("BUG: making the keys of a client: " + err.Error())
	}
	return config
}

func (c *client) isWorking() bool { return c.working.Err() == nil }

// pause waits for a random time, or until the work is over.
func (c *client) pause(maxMilliseconds int) {
	sleep(c.working, time.Duration(c.random.IntN(1000*maxMilliseconds+1))*time.Microsecond)
}

// backOff waits after a failure, because failures come fast while etcd is down.
func (c *client) backOff() { sleep(c.working, 30*time.Millisecond) }

func sleep(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}

func (c *client) name() string { return fmt.Sprintf("%s %d", c.kind, c.id) }

// mismatch reports an answer that must not occur.
func (c *client) mismatch(format string, args ...any) {
	c.findings.CountRequest(c.kind, "wrong")
	c.findings.Mismatch(c.name(), format, args...)
}

// foreignAnswer reports an answer that belongs to another request.
func (c *client) foreignAnswer(r *transport.Request, got *transport.Answer) {
	c.mismatch("%v got the answer to another request: %.300s", r, got.Body)
}

// checkWrite checks that the answer to a write is about this write and no other.
func (c *client) checkWrite(r *transport.Request, got *transport.Answer, action, key, value string) bool {
	n := got.Node
	if n == nil || got.Action != action || n.Key != key || n.Value != value || n.ModifiedIndex == 0 {
		c.foreignAnswer(r, got)
		return false
	}
	c.acknowledge(n.ModifiedIndex)
	return true
}

// checkFresh checks that an answer is not older than the newest write that was acknowledged
// before its request.
func (c *client) checkFresh(r *transport.Request, got *transport.Answer, floor uint64) bool {
	if got.EtcdIndex < floor {
		c.mismatch("%v: got index %d, want at least %d, which was acknowledged before the request", r, got.EtcdIndex, floor)
		return false
	}
	return true
}

package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"etcd-tlsproxy/cmd/etcd-tlsproxy-soak/internal/check"
	"etcd-tlsproxy/cmd/etcd-tlsproxy-soak/internal/env"
	"etcd-tlsproxy/cmd/etcd-tlsproxy-soak/internal/transport"
)

// newTestSoak returns a run without a proxy.
func newTestSoak(t *testing.T) *soak {
	s := newSoak(&env.Files{}, nil, nil, 1)
	s.working, s.watching = t.Context(), t.Context()
	return s
}

// reply is a transport with one answer.
type reply struct {
	transport.Answer
	err error
}

func (r reply) Close() {}

func (r reply) Do(context.Context, *transport.Request) (*transport.Answer, error) {
	return &r.Answer, r.err
}

func TestAnswersAreExcusedOnlyInAnOutage(t *testing.T) {
	const (
		notSent = `{"errorCode":300,"cause":"No endpoint accepted a connection; nothing was sent"}`
		lost    = `{"errorCode":300,"cause":"The write may or may not have been carried out"}`
	)
	answer := func(status int, body string) reply {
		return reply{Answer: transport.Answer{Status: status, Body: body}}
	}
	for name, c := range map[string]struct {
		reply  reply
		local  bool // the proxy has to answer without etcd
		want   outcome
		outage bool // it is right in an outage
		always bool // it is right without one as well
	}{
		"expected":              {answer(200, "{}"), false, done, true, true},
		"nothing was sent":      {answer(503, notSent), false, unsent, true, false},
		"lost":                  {answer(503, lost), false, unknown, true, false},
		"lost without etcd":     {answer(503, lost), true, unknown, false, false},
		"not an error of etcd":  {answer(503, `{"message":"of another shape"}`), false, unknown, false, false},
		"an unexpected status":  {answer(500, lost), false, unknown, false, false},
		"not JSON":              {answer(200, "<html>"), false, unknown, false, false},
		"broken off":            {reply{err: transport.ErrBrokenOff}, false, unknown, true, false},
		"a connection is reset": {reply{err: errors.New("reset")}, false, unknown, false, false},
	} {
		for _, down := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, down=%t", name, down), func(t *testing.T) {
				s := newTestSoak(t)
				working, stop := context.WithCancel(t.Context())
				stop() // no client waits after a failure
				s.working = working
				if down {
					s.outages.Start()
				}
				a := s.client("test", 0, func(*client) transport.Transport { return c.reply })
				_, got := a.do(&transport.Request{Method: "GET", Target: "/soak/x", Local: c.local}, 200)
				found := s.findings.Totals()
				right := c.always || down && c.outage
				if right != (found.Wrong == 0) {
					t.Errorf("got %d mismatches, want none=%t: %q", found.Wrong, right, found.Mismatches)
				}
				if right && got != c.want {
					t.Errorf("got outcome %d, want %d", got, c.want)
				}
			})
		}
	}
}

func TestWithAStoreLittleIsExcusedUnlessRevisionsAreForgotten(t *testing.T) {
	const (
		notExecuted = `{"errorCode":300,"cause":"etcd accepted no write; nothing was carried out"}`
		lost        = `{"errorCode":300,"cause":"The write may or may not have been carried out"}`
	)
	for name, c := range map[string]struct {
		method string
		reply  reply
		want   outcome
		always bool // it is right in each outage
	}{
		"a write that was not executed":  {"PUT", reply{Answer: transport.Answer{Status: 503, Body: notExecuted}}, unsent, true},
		"a write of unknown outcome":     {"PUT", reply{Answer: transport.Answer{Status: 503, Body: lost}}, unknown, false},
		"a read that cannot be answered": {"GET", reply{Answer: transport.Answer{Status: 503, Body: lost}}, unknown, true},
		"a watch that is broken off":     {"GET", reply{err: transport.ErrBrokenOff}, unknown, false},
	} {
		for _, forgotten := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, forgotten=%t", name, forgotten), func(t *testing.T) {
				s := newTestSoak(t)
				working, stop := context.WithCancel(t.Context())
				stop()
				s.working, s.store = working, &store{}
				s.outages.Start()
				if forgotten {
					s.store.forgetting.Start()
				}
				a := s.client("test", 0, func(*client) transport.Transport { return c.reply })
				_, got := a.do(&transport.Request{Method: c.method, Target: "/soak/x"}, 200)
				found := s.findings.Totals()
				if right := c.always || forgotten; right != (found.Wrong == 0) || got != c.want {
					t.Errorf("got outcome %d and the mismatches %q, want outcome %d and none=%t", got, found.Mismatches, c.want, right)
				}
				counted := found.Requests["test"][unknownOutcome] == 1
				if want := forgotten && name == "a write of unknown outcome"; counted != want {
					t.Errorf("got counted as an unknown outcome=%t, want %t", counted, want)
				}
			})
		}
	}
}

func TestAKeyMustExpireAtItsTime(t *testing.T) {
	for name, c := range map[string]struct {
		most, least time.Duration
		want        string
	}{
		"at its time":   {2100 * time.Millisecond, 1900 * time.Millisecond, ""},
		"late":          {20 * time.Second, 20 * time.Second, ""},
		"before":        {1900 * time.Millisecond, 1800 * time.Millisecond, "not before its ttl"},
		"much too late": {28 * time.Second, 28 * time.Second, "late, want at most"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newTestSoak(t)
			a := s.client("test", 0, func(*client) transport.Transport { return reply{} })
			a.checkExpiry(&transport.Request{Method: "PUT", Target: "/soak/x"}, c.most, c.least, 2*time.Second)
			if got := strings.Join(s.findings.Totals().Mismatches, "; "); (c.want == "") != (got == "") || !strings.Contains(got, c.want) {
				t.Errorf("got the mismatches %q, want %q", got, c.want)
			}
		})
	}
}

func TestStaleAndForeignValuesAreFound(t *testing.T) {
	const k = 3 // version 4 is acknowledged, 5 was sent
	key := check.VersionedKey(k)
	node := func(key, value string) *transport.Node { return &transport.Node{Key: key, Value: value} }
	for name, c := range map[string]struct {
		node  *transport.Node
		index uint64
		want  string
	}{
		"acknowledged":      {node(key, check.VersionedValue(k, 4)), 10, ""},
		"sent":              {node(key, check.VersionedValue(k, 5)), 10, ""},
		"stale":             {node(key, check.VersionedValue(k, 3)), 10, "got version 3, want at least 4"},
		"not sent":          {node(key, check.VersionedValue(k, 6)), 10, "at most 5, the newest"},
		"another key's":     {node(key, check.VersionedValue(2, 4)), 10, "never written there"},
		"under another key": {node(check.VersionedKey(2), check.VersionedValue(k, 4)), 10, "never written there"},
		"absent":            {nil, 10, "version 0"},
		"not carried out":   {node(key, check.VersionedValue(k, 7)), 10, "which was not carried out"},
		"an old index":      {node(key, check.VersionedValue(k, 4)), 9, "got index 9, want at least 10"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newTestSoak(t)
			for range 5 {
				s.versions.Next(k)
			}
			s.versions.Refute(k, 7)
			a := s.client("reader", 0, func(*client) transport.Transport { return reply{} })
			r := &transport.Request{Method: "GET", Target: key}
			var floors [check.VersionedKeys]int64
			floors[k] = 4
			a.checkVersions(r, &transport.Answer{EtcdIndex: c.index, Event: transport.Event{Node: c.node}}, k, 10, floors)
			switch got := s.findings.Totals().Mismatches; {
			case c.want == "" && len(got) > 0:
				t.Errorf("got %q, want no mismatch", got)
			case c.want != "" && (len(got) != 1 || !strings.Contains(got[0], c.want)):
				t.Errorf("got %q, want one mismatch that contains %q", got, c.want)
			}
		})
	}
}

package proxy

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"etcd-tlsproxy/acl"
)

func TestNamesOfCertificatesAreBounded(t *testing.T) {
	ns := &names{}
	for i := range mostNames + 100 {
		ns.of(fmt.Sprint("host", i)).allowed[acl.Read].Add(1)
	}
	if n := len(ns.all()); n != mostNames || ns.others.allowed[acl.Read].Load() != 100 {
		t.Errorf("%d names, and %d others", n, ns.others.allowed[acl.Read].Load())
	}
	if ns.of("host7").allowed[acl.Read].Load() != 1 || ns.of("late") != &ns.others {
		t.Error("who was known is not, or one more is")
	}
}

func TestCountingAllocatesNothing(t *testing.T) {
	_, s := newTestGate(t, nil)
	ts := tallied(s, nil)
	for _, known := range []Known{Anonymous, ByPassword, ByCertificate} {
		op := &Operation{Rule: "/conftool", Identity: Identity{Name: "conftool", Known: known}}
		if n := testing.AllocsPerRun(100, func() { ts.count(op, nil) }); n > 0 {
			t.Errorf("%v: %v allocations", known, n)
		}
	}
	rs, r := &refusals{}, refusedRecord("/a")
	if n := testing.AllocsPerRun(100, func() { rs.note(r) }); n > 0 {
		t.Errorf("an equal refusal: %v allocations", n)
	}
}

func refusedRecord(key string) *record {
	return &record{
		peer: NewPeer(netip.MustParseAddrPort("192.0.2.1:1234"), nil), refusal: refuseIdentity,
		op: Operation{Method: "PUT", Surface: Keys, Path: "/v2/keys" + key, Key: acl.Key(key), Rule: "/"},
	}
}

func TestRefusalsAreBoundedAndEqualOnesAreOne(t *testing.T) {
	rs := &refusals{}
	for i := range 3 * mostRefusals {
		rs.note(refusedRecord(fmt.Sprint("/", i)))
		rs.note(refusedRecord("/again"))
	}
	rs.note(&record{peer: testPeer()}) // was allowed
	list := rs.latest()
	if len(list) != mostRefusals || list[0].key != "/again" || list[0].times != 3*mostRefusals || list[1].key != fmt.Sprint("/", 3*mostRefusals-1) {
		t.Errorf("%d entries, the latest %+v, %+v", len(list), list[0], list[1])
	}
	rs.note(refusedRecord("/" + strings.Repeat("ä", 1000)))
	if key := rs.latest()[0].key; len(key) != mostShown-1 || strings.Trim(key, "/ä") != "" {
		t.Errorf("a long key is kept as %q", key)
	}
}

func TestLatenciesAreNearlyExact(t *testing.T) {
	for _, d := range []time.Duration{40 * time.Microsecond, 333 * time.Microsecond, time.Millisecond, 17 * time.Millisecond, 1234 * time.Millisecond, 20 * time.Second} {
		var one taken
		one[latencyBucket(d)] = 1000
		want := d.Seconds() * 1000
		if got := float64(one.quantile(.5)); got < want*.8 || got > want*1.2 {
			t.Errorf("%v is told as %v ms", d, got)
		}
	}
	last := 0
	for us := time.Duration(0); us < 60_000_000; us += us/50 + 1 {
		i := latencyBucket(us * time.Microsecond)
		if ms := float64(us) / 1000; i < last || i-last > 1 || ms < latencyFrom(i) || ms > latencyFrom(i+1) && i < latencyBuckets-1 {
			t.Fatalf("%v us is in bucket %d, which begins at %v ms, after %d", int64(us), i, latencyFrom(i), last)
		}
		last = i
	}
	if got := (&taken{}).quantile(.5); got == got {
		t.Errorf("of nothing: %v", got)
	}
}

func TestSamplesBecomeRates(t *testing.T) {
	f := newFront(t, listen(t), "http://127.0.0.1:1", nil)
	s := &Server{metrics: NewMetrics("test"), watches: newWatches(1, 1, f.metrics), memory: f.server.memory}
	at := time.Unix(1_000_000, 0)
	for i := range mostSamples + 50 {
		s.takeSample(at.Add(time.Duration(i) * sampleEvery))
		for range 20 { // at the end of two seconds: ten a second
			s.traffic.count(&record{status: 200}, 2*time.Millisecond)
		}
		s.traffic.count(&record{status: 503, op: Operation{Access: acl.Write}}, 100*time.Millisecond)
	}
	c := s.samples.columns()
	if n := mostSamples - 1; len(c.Reads) != n || len(c.Times) != n || len(c.WriteP99) != n || c.Reads[n-1] != 10 || c.Failed[0] != .5 || c.Writes[7] != .5 {
		t.Errorf("%d reads, the last %v; failed %v, writes %v", len(c.Reads), c.Reads[n-1], c.Failed[0], c.Writes[7])
	}
	for _, w := range s.samples.summary() {
		if w.Reads != 10 || w.Failed != .5 || w.ReadP50 < 1.6 || w.ReadP99 > 2.4 || w.WriteP99 < 80 || w.WriteP99 > 120 {
			t.Errorf("%+v", w)
		}
	}
}

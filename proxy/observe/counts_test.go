package observe

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"etcd-tlsproxy/proxy/gate"

	"etcd-tlsproxy/acl"
)

func TestNamesOfCertificatesAreBounded(t *testing.T) {
	ns := &certUsers{}
	for i := range maxCertUsers + 100 {
		ns.of(fmt.Sprint("host", i)).allowed[acl.Read].Add(1)
	}
	if n := len(ns.all()); n != maxCertUsers || ns.others.allowed[acl.Read].Load() != 100 {
		t.Errorf("%d names, and %d others", n, ns.others.allowed[acl.Read].Load())
	}
	if ns.of("host7").allowed[acl.Read].Load() != 1 || ns.of("late") != &ns.others {
		t.Error("who was known is not, or one more is")
	}
}

func TestCountingAllocatesNothing(t *testing.T) {
	ts := CountsFor(testPolicy(t), nil)
	for _, known := range []gate.Known{gate.Anonymous, gate.ByPassword, gate.ByCertificate} {
		op := &gate.Operation{Rule: "/conftool", Identity: gate.Identity{Name: "conftool", Known: known}}
		if n := testing.AllocsPerRun(100, func() { ts.add(op, nil) }); n > 0 {
			t.Errorf("%v: %v allocations", known, n)
		}
	}
	rs, r := &recentRefusals{}, refusedRecord("/a")
	if n := testing.AllocsPerRun(100, func() { rs.add(r) }); n > 0 {
		t.Errorf("an equal Refusal: %v allocations", n)
	}
}

func refusedRecord(key string) *Record {
	return &Record{
		Peer: gate.NewPeer(netip.MustParseAddrPort("192.0.2.1:1234"), nil), Refusal: gate.RefuseIdentity,
		Op: gate.Operation{Method: "PUT", Surface: gate.Keys, Path: "/v2/keys" + key, Key: acl.Key(key), Rule: "/"},
	}
}

func TestRefusalsAreBoundedAndEqualOnesAreOne(t *testing.T) {
	rs := &recentRefusals{}
	for i := range 3 * maxRefusals {
		rs.add(refusedRecord(fmt.Sprint("/", i)))
		rs.add(refusedRecord("/again"))
	}
	rs.add(&Record{Peer: gate.NewPeer(netip.AddrPort{}, nil)}) // was allowed
	list := slices.Clone(rs.list)
	slices.Reverse(list)
	if len(list) != maxRefusals || list[0].key != "/again" || list[0].times != 3*maxRefusals || list[1].key != fmt.Sprint("/", 3*maxRefusals-1) {
		t.Errorf("%d entries, the latest %+v, %+v", len(list), list[0], list[1])
	}
	rs.add(refusedRecord("/" + strings.Repeat("ä", 1000)))
	if key := rs.list[len(rs.list)-1].key; len(key) != maxShown-1 || strings.Trim(key, "/ä") != "" {
		t.Errorf("a long key is kept as %q", key)
	}
}

func TestRefusalsWithDifferentReasonsAreNeverMerged(t *testing.T) {
	rs := &recentRefusals{}
	add := func(login gate.Login, claimed string) {
		r := refusedRecord("/a")
		r.Op.Login, r.Op.Claimed = login, claimed
		rs.add(r)
	}
	for range 2 {
		add(gate.LoginMissing, "")
		add(gate.LoginWrongPassword, "conftool")
		add(gate.LoginWrongPassword, "root")
		add(gate.LoginUnknownUser, "")
	}
	list := rs.status()
	if len(list) != 4 {
		t.Fatalf("entries of four different reasons: got %d, want 4: %+v", len(list), list)
	}
	for i, want := range []string{"unknown_user ", "wrong_password root", "wrong_password conftool", "no_credentials "} {
		if got := list[i].Login + " " + list[i].Claimed; got != want || list[i].Times != 2 {
			t.Errorf("entry %d: got %q %d times, want %q 2 times", i, got, list[i].Times, want)
		}
	}
}

func TestLatenciesAreNearlyExact(t *testing.T) {
	for _, d := range []time.Duration{40 * time.Microsecond, 333 * time.Microsecond, time.Millisecond, 17 * time.Millisecond, 1234 * time.Millisecond, 20 * time.Second} {
		var one latencySnapshot
		one[latencyBucket(d)] = 1000
		want := d.Seconds() * 1000
		if got := float64(one.quantile(.5)); got < want*.8 || got > want*1.2 {
			t.Errorf("recording the duration %v: got %v ms, want about the same", d, got)
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
	if got := (&latencySnapshot{}).quantile(.5); got == got {
		t.Errorf("of nothing: %v", got)
	}
}

func TestSamplesBecomeRates(t *testing.T) {
	s := New(NewMetrics("test"), NewRecords(RecordOptions{}))
	at := time.Unix(1_000_000, 0)
	for i := range maxSamples + 50 {
		s.record(at.Add(time.Duration(i)*sampleEvery), Gauges{})
		for range 20 { // at the end of two seconds: ten a second
			s.traffic.count(&Record{Status: 200}, 2*time.Millisecond)
			s.Metrics.Upstream.ObserveAnswer(false, time.Millisecond)
		}
		s.Metrics.Upstream.ObserveAnswer(true, 50*time.Millisecond)
		s.traffic.count(&Record{Status: 503, Op: gate.Operation{Access: acl.Write}}, 100*time.Millisecond)
	}
	c := s.samples.columns()
	if n := maxSamples - 1; len(c.Reads) != n || len(c.Times) != n || len(c.WriteP99) != n || c.Reads[n-1] != 10 || c.Failed[0] != .5 || c.Writes[7] != .5 {
		t.Errorf("%d reads, the last %v; failed %v, writes %v", len(c.Reads), c.Reads[n-1], c.Failed[0], c.Writes[7])
	}
	for _, w := range s.samples.summary() {
		if w.Reads != 10 || w.Failed != .5 || w.ReadP50 < 1.6 || w.ReadP99 > 2.4 || w.WriteP99 < 80 || w.WriteP99 > 120 {
			t.Errorf("%+v", w)
		}
		if w.EtcdReadP99 < .8 || w.EtcdReadP99 > 1.2 || w.EtcdWriteP99 < 40 || w.EtcdWriteP99 > 60 {
			t.Errorf("etcd's durations of 1 ms and 50 ms: got the 99th percentiles %v and %v, want about the same", w.EtcdReadP99, w.EtcdWriteP99)
		}
	}
}

func testPolicy(t *testing.T) *gate.Policy {
	t.Helper()
	rules, err := acl.NewRules(acl.MatchSegments,
		acl.Rule{Prefix: "/", Read: acl.Everyone(), Write: acl.Only("root")},
		acl.Rule{Prefix: "/conftool", Read: acl.Everyone(), Write: acl.Only("conftool")})
	if err != nil {
		t.Fatal(err)
	}
	users, err := acl.ParseUsers(acl.NewHasher(acl.HasherOptions{}), acl.Source{Name: "htpasswd", Data: []byte("conftool:{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=\n")})
	if err != nil {
		t.Fatal(err)
	}
	return &gate.Policy{Rules: rules, Users: users}
}

func TestTheHighestUseOfALimitIsThatOfTenMinutes(t *testing.T) {
	o := New(NewMetrics("test"), NewRecords(RecordOptions{}))
	start := time.Now()
	sample := func(i int, used int64) {
		o.record(start.Add(time.Duration(i)*sampleEvery), Gauges{Limits: []LimitUse{{"watches", used}, {"connections", 1}}})
	}
	highest := func() int64 {
		limits := []LimitStatus{NewLimitStatus("watches", "", 30, 100), NewLimitStatus("open_files", "", 5, 10)}
		o.samples.addHighest(limits)
		if limits[1].Highest != 5 {
			t.Errorf("a limit that is not sampled: got the highest use %d, want 5 as now", limits[1].Highest)
		}
		if l := limits[0]; l.HighestPercent != Float(l.Highest) {
			t.Errorf("got %v percent for %d of 100", l.HighestPercent, l.Highest)
		}
		return limits[0].Highest
	}
	if got := highest(); got != 30 {
		t.Errorf("without samples: got the highest use %d, want 30 as now", got)
	}
	sample(0, 95)
	for i := 1; i < maxSamples; i++ {
		sample(i, 20)
	}
	if got := highest(); got != 95 {
		t.Errorf("within ten minutes: got the highest use %d, want 95", got)
	}
	sample(maxSamples, 20)
	if got := highest(); got != 30 {
		t.Errorf("after ten minutes: got the highest use %d, want 30 as now", got)
	}
}

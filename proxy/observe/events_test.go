package observe

import (
	"errors"
	"maps"
	"strings"
	"testing"
	"time"

	"etcd-tlsproxy/acl"
	"etcd-tlsproxy/proxy/gate"
	"etcd-tlsproxy/proxy/proxytest/seed"
)

// series returns the values of all series whose name has a prefix, by name and labels.
func series(t *testing.T, m *Metrics, prefix string) map[string]float64 {
	t.Helper()
	families, err := m.Registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	values := make(map[string]float64)
	for _, family := range families {
		if !strings.HasPrefix(family.GetName(), prefix) {
			continue
		}
		for _, metric := range family.GetMetric() {
			name := family.GetName()
			for _, label := range metric.GetLabel() {
				name += " " + label.GetName() + "=" + label.GetValue()
			}
			value := metric.GetCounter().GetValue() + metric.GetGauge().GetValue()
			if h := metric.GetHistogram(); h != nil {
				value = float64(h.GetSampleCount())
			}
			if value != 0 {
				values[name] = value
			}
		}
	}
	return values
}

func expectSeries(t *testing.T, m *Metrics, prefix string, want map[string]float64) {
	t.Helper()
	if got := series(t, m, prefix); !maps.Equal(got, want) {
		t.Errorf("series of %s that are not 0: got %v, want %v", prefix, got, want)
	}
}

func TestEachLoginIsCountedByMeansResultAndReason(t *testing.T) {
	m := NewMetrics("test")
	want := make(map[string]float64)
	for l := range gate.Login(gate.NumLogins) {
		if l == gate.LoginUnneeded {
			continue
		}
		for range l {
			m.CountLogin(l)
		}
		want["etcd_tlsproxy_logins_total means="+l.Means().String()+" reason="+l.Reason()+" result="+l.Result()] = float64(l)
	}
	expectSeries(t, m, "etcd_tlsproxy_logins_total", want)
}

func TestEveryReasonHasASeriesFromTheStart(t *testing.T) {
	families, err := NewMetrics("test").Registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := make(map[string]int)
	for _, family := range families {
		got[family.GetName()] = len(family.GetMetric())
	}
	for name, want := range map[string]int{"etcd_tlsproxy_logins_total": gate.NumLogins - 1, "etcd_tlsproxy_refusals_total": 2 * len(gate.Reasons())} {
		if got[name] != want {
			t.Errorf("series of %s before the first request: got %d, want %d", name, got[name], want)
		}
	}
}

func TestDecisionsAreCountedBySurfaceAccessAndReason(t *testing.T) {
	m := NewMetrics("test")
	keys, members := &gate.Operation{Surface: gate.Keys}, &gate.Operation{Surface: gate.Members}
	write := &gate.Operation{Surface: gate.Keys, Access: acl.Write}
	m.countDecision(keys, nil)
	m.countDecision(keys, nil)
	m.countDecision(write, nil)
	m.countDecision(members, nil)
	m.countDecision(keys, gate.RefuseIdentity)
	m.countDecision(write, gate.RefuseReadOnly)
	const total = "etcd_tlsproxy_decisions_total access="
	expectSeries(t, m, "etcd_tlsproxy_decisions_total", map[string]float64{
		total + "read outcome=allowed surface=keys": 2, total + "write outcome=allowed surface=keys": 1, total + "read outcome=allowed surface=members": 1,
		total + "read outcome=unauthorized surface=keys": 1, total + "write outcome=read_only surface=keys": 1,
	})
}

func TestAWatchIsCountedWithoutADuration(t *testing.T) {
	m := NewMetrics("test")
	m.countAnswer(&gate.Operation{Surface: gate.Keys, Method: "GET", Access: acl.Read, Watch: true}, 200, time.Hour)
	requests := 0.0
	for _, value := range series(t, m, "etcd_tlsproxy_requests_total") {
		requests += value
	}
	if durations := series(t, m, "etcd_tlsproxy_request_duration_seconds"); requests != 1 || len(durations) > 0 {
		t.Errorf("after a watch: got %v requests and the durations %v, want 1 and none", requests, durations)
	}
	m.countAnswer(&gate.Operation{Surface: gate.Keys, Method: "PUT", Access: acl.Write}, 201, time.Second)
	durations := 0.0
	for _, value := range series(t, m, "etcd_tlsproxy_request_duration_seconds") {
		durations += value
	}
	if durations != 1 {
		t.Errorf("durations after a write: got %v, want 1", durations)
	}
}

func TestAReloadThatFailsIsCountedAndShown(t *testing.T) {
	m := NewMetrics("test")
	server := seed.Policy(t).Certs
	const total, successful = "etcd_tlsproxy_config_reloads_total result=", "etcd_tlsproxy_config_last_reload_successful"
	m.Reloaded(server, nil)
	expectSeries(t, m, "etcd_tlsproxy_config_reloads_total", map[string]float64{total + "ok": 1})
	expectSeries(t, m, successful, map[string]float64{successful: 1})
	expectSeries(t, m, "etcd_tlsproxy_certificate", map[string]float64{
		"etcd_tlsproxy_certificate_not_after_timestamp_seconds role=server": float64(server.Certificates()[0].NotAfter.Unix()),
	})
	m.Reloaded(server, errors.New("broken"))
	expectSeries(t, m, "etcd_tlsproxy_config_reloads_total", map[string]float64{total + "ok": 1, total + "failed": 1})
	expectSeries(t, m, successful, map[string]float64{})
	m.Refreshed(nil)
	m.Refreshed(nil)
	m.Refreshed(errors.New("broken"))
	expectSeries(t, m, "etcd_tlsproxy_srv", map[string]float64{"etcd_tlsproxy_srv_refreshes_total result=ok": 2, "etcd_tlsproxy_srv_refreshes_total result=failed": 1})
}

func TestGaugesFollowWhatStartsAndEnds(t *testing.T) {
	m := NewMetrics("test")
	for range 3 {
		m.ConnectionOpened()
		m.WatchStarted()
	}
	m.ConnectionClosed()
	m.WatchEnded("event")
	for range 5 {
		m.ConnectionShed()
	}
	m.ConnectionRefused("memory")
	m.HandedOver()
	expectSeries(t, m, "etcd_tlsproxy_connections", map[string]float64{
		"etcd_tlsproxy_connections": 2, "etcd_tlsproxy_connections_shed_total": 5, "etcd_tlsproxy_connections_refused_total reason=memory": 1, "etcd_tlsproxy_connections_handed_over_total": 1,
	})
	watches := series(t, m, "etcd_tlsproxy_watches")
	if watches["etcd_tlsproxy_watches"] != 2 || watches["etcd_tlsproxy_watches_ended_total reason=event"] != 1 {
		t.Errorf("series of watches after 3 starts and an end: got %v, want 2 running and 1 ended by its event", watches)
	}
}

func TestLabelsAreFromClosedSets(t *testing.T) {
	for status, want := range map[int]string{200: "200", 201: "201", 505: "505", 299: "other", 0: "other", 2000: "other"} {
		if got := codeLabels[codeLabel(status)]; got != want {
			t.Errorf("label of the status %d: got %s, want %s", status, got, want)
		}
	}
	for method, want := range map[string]string{"GET": "GET", "OPTIONS": "OPTIONS", "PATCH": "other", "": "other", "get": "other", "other": "other"} {
		if got := methodLabels[methodLabel(method)]; got != want {
			t.Errorf("label of the method %q: got %s, want %s", method, got, want)
		}
	}
}

func TestEachRefusalIsCountedByItsReason(t *testing.T) {
	m := NewMetrics("test")
	o := New(m, NewRecords(RecordOptions{}))
	write := gate.Operation{Surface: gate.Keys, Method: "PUT", Access: acl.Write}
	watch := gate.Operation{Surface: gate.Keys, Method: "GET", Access: acl.Read, Watch: true}
	for _, r := range []Record{
		{Op: write, Status: 201}, {Op: write, Status: 401, Refusal: gate.RefuseIdentity},
		{Op: watch, Status: 503, Refusal: gate.RefuseWatches}, {Op: watch, Status: 503, Refusal: gate.RefuseUpstreamBusy},
	} {
		r.Peer = &gate.Peer{}
		o.Answered(&r)
	}
	const total = "etcd_tlsproxy_refusals_total access="
	expectSeries(t, m, "etcd_tlsproxy_refusals_total", map[string]float64{total + "write reason=unauthorized": 1, total + "read reason=busy": 2})
}

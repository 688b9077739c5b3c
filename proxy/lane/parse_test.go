package lane

import (
	"testing"
	"unsafe"

	"etcd-tlsproxy/acl"
	"etcd-tlsproxy/proxy/account"
	"etcd-tlsproxy/proxy/gate"
)

// view returns a string in the memory of a buffer, like the fields of a request in the fast lane.
func view(b []byte) string { return unsafe.String(&b[0], len(b)) }

// TestAnOperationThatOutlivesItsRequestHasItsOwnMemory parses a request in a buffer that is used again.
func TestAnOperationThatOutlivesItsRequestHasItsOwnMemory(t *testing.T) {
	key, target := []byte("/key"), []byte("/v2/keys/key?prevValue=old")
	op := &gate.Operation{Key: acl.Key(view(key)), Target: view(target), Method: "PUT", Surface: gate.Keys, Access: acl.Write}
	parsed, invalid := parse(op, "application/x-www-form-urlencoded", []byte("value=new"), true)
	if invalid != nil {
		t.Fatal(invalid)
	}
	copy(key, "/XXX")
	copy(target, "/v2/keys/XXX?XXXXXXXXX=XXX")
	if parsed.Key != "/key" || parsed.PrevValue != "old" || parsed.Value != "new" {
		t.Errorf("got the key %q and the values %q and %q, want those of the request", parsed.Key, parsed.PrevValue, parsed.Value)
	}
}

func TestARunningWatchIsCounted(t *testing.T) {
	r := newRig(t, nil)
	r.Watches.Pool = r.Accounts.NewPool(account.Options{Name: "watches", Total: 10})
	call := r.call(t, "GET", "/v2/keys/a?wait=true", "")
	w := &Watch{Op: call.Op, Peer: call.Peer, End: func(error) {}}
	if refusal := r.StartWatch(r.snapshot, w); refusal != nil {
		t.Fatalf("got the refusal %v", refusal)
	}
	if got := r.gauge(t, "etcd_tlsproxy_watches"); got != 1 {
		t.Errorf("%v watches are counted, want one", got)
	}
	r.Watches.Release(w, "event")
	if got := r.gauge(t, "etcd_tlsproxy_watches"); got != 0 {
		t.Errorf("%v watches are counted after their end, want none", got)
	}
}

// gauge returns the value of a metric.
func (r *rig) gauge(t *testing.T, name string) float64 {
	t.Helper()
	families, err := r.metrics.Registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		if family.GetName() == name {
			return family.GetMetric()[0].GetGauge().GetValue()
		}
	}
	t.Fatalf("the metric %s is not exported", name)
	return 0
}

package lane

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"etcd-tlsproxy/proxy/gate"
	"etcd-tlsproxy/proxy/upstream"
	"etcd-tlsproxy/proxy/v2v3"
)

// failures returns how often etcd has failed in each way.
func (r *rig) failures(t *testing.T) map[string]float64 {
	t.Helper()
	families, err := r.metrics.Registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	counts := map[string]float64{}
	for _, family := range families {
		if family.GetName() == "etcd_tlsproxy_upstream_failures_total" {
			for _, m := range family.GetMetric() {
				if n := m.GetCounter().GetValue(); n > 0 {
					counts[m.GetLabel()[0].GetValue()] = n
				}
			}
		}
	}
	return counts
}

func TestEachFailureOfEtcdHasItsRefusal(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		kind        upstream.Kind
		read, write *gate.Refusal
	}{
		{upstream.Unreachable, gate.RefuseUnreachable, gate.RefuseUnreachable}, {upstream.Busy, gate.RefuseUpstreamBusy, gate.RefuseUpstreamBusy},
		{upstream.TooLong, gate.RefuseTooLong, gate.RefuseTooLong}, {upstream.UnknownOutcome, gate.RefuseUnknownOutcome, gate.RefuseUnknownOutcome},
		{upstream.Broken, gate.RefuseBroken, gate.RefuseUnknownOutcome}, {upstream.Timeout, gate.RefuseReadTimeout, gate.RefuseTimeout},
		{upstream.Canceled, nil, nil},
	} {
		for method, want := range map[string]*gate.Refusal{"GET": test.read, "PUT": test.write} {
			r := newRig(t, nil)
			err := fmt.Errorf("asking: %w", &upstream.Error{Kind: test.kind, Err: errors.New("why")})
			refusal, got := r.failed(err, r.call(t, method, "/v2/keys/eventlogging/a", "").Op)
			if refusal != want || errors.Is(got, ErrBrokenOff) != (want == nil) || want != nil && got != nil {
				t.Errorf("%s, %v: got the refusal %v and the error %v, want %v", method, test.kind, refusal, got, want)
			}
			if counts := r.failures(t); want == nil && len(counts) != 0 || want != nil && (len(counts) != 1 || counts[test.kind.String()] != 1) {
				t.Errorf("%s, %v: counted %v, want one of its kind", method, test.kind, counts)
			}
		}
	}
}

func TestEachFailureOfTheStoreHasItsRefusal(t *testing.T) {
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	for _, test := range []struct {
		kind    v2v3.Kind
		method  string
		refusal *gate.Refusal
		counted upstream.Kind
	}{
		{v2v3.NotServed, "GET", gate.RefuseStore, upstream.Unreachable}, {v2v3.NotExecuted, "PUT", gate.RefuseStore, upstream.Unreachable},
		{v2v3.UnknownOutcome, "PUT", gate.RefuseUnknownOutcome, upstream.UnknownOutcome}, {v2v3.UnknownOutcome, "GET", gate.RefuseStore, upstream.Unreachable},
		{v2v3.Executed, "PUT", gate.RefuseLostAnswer(7), upstream.Broken},
	} {
		r := newRig(t, nil)
		op := r.call(t, test.method, "/v2/keys/eventlogging/a", "").Op
		err := fmt.Errorf("asking: %w", &v2v3.Error{Kind: test.kind, Index: 7, Reason: "why"})
		refusal, got := r.failedStore(t.Context(), err, op)
		if got != nil || refusal == nil || refusal.Status != test.refusal.Status || string(refusal.Body) != string(test.refusal.Body) {
			t.Errorf("%s, %d: got the refusal %v and the error %v, want %v", test.method, test.kind, refusal, got, test.refusal)
		}
		if counts := r.failures(t); len(counts) != 1 || counts[test.counted.String()] != 1 {
			t.Errorf("%s, %d: counted %v, want one of the kind %v", test.method, test.kind, counts, test.counted)
		}
		r = newRig(t, nil)
		if refusal, got := r.failedStore(gone, err, op); refusal != nil || !errors.Is(got, ErrBrokenOff) || len(r.failures(t)) != 0 {
			t.Errorf("%s, %d, for a client that has left: got the refusal %v and the error %v, want %v", test.method, test.kind, refusal, got, ErrBrokenOff)
		}
	}
}

// TestATreeThatDoesNotHaveTheKeysIsNoFailure has a store that says so: etcd is well.
func TestATreeThatDoesNotHaveTheKeysIsNoFailure(t *testing.T) {
	for _, method := range []string{"GET", "PUT"} {
		r := newRig(t, nil)
		refusal, err := r.failedStore(t.Context(), &v2v3.Error{Kind: v2v3.NotLive, Reason: "why"}, r.call(t, method, "/v2/keys/eventlogging/a", "").Op)
		if refusal != gate.RefuseHeld || err != nil || len(r.failures(t)) != 0 {
			t.Errorf("%s: got the refusal %v, the error %v and the failures %v, want only %v", method, refusal, err, r.failures(t), gate.RefuseHeld)
		}
	}
}

package gate_test

import (
	"encoding/json"
	"fmt"
	"testing"

	"etcd-tlsproxy/proxy/gate"
)

// Clients decide by these whether they try again, and libraries by the error code which
// error they raise. They change with a major version only.
func TestTheStatusAndTheErrorCodeOfEachRefusal(t *testing.T) {
	for _, c := range []struct {
		refusal    *gate.Refusal
		status     int
		reason     string
		code       int
		retryAfter int
		closing    bool
	}{
		{gate.RefuseIdentity, 401, "unauthorized", 110, 0, false},
		{gate.RefuseReadOnly, 403, "read_only", 107, 0, false},
		{gate.RefuseReserved, 403, "reserved_key", 110, 0, false},
		{gate.RefuseDepth, 400, "too_deep", 209, 0, false},
		{gate.RefuseSurface, 403, "closed_surface", 110, 0, false},
		{gate.RefuseEnablingAuth, 403, "etcd_users", 110, 0, false},
		{gate.RefusePath, 404, "no_such_path", 100, 0, false},
		{gate.RefuseUpgrade, 403, "upgrade", 110, 0, false},
		{gate.RefuseMethod, 405, "method", 209, 0, false},
		{gate.RefuseTarget, 400, "bad_target", 209, 0, false},
		{gate.RefuseQuery, 400, "bad_target", 209, 0, false},
		{gate.RefuseSemicolon, 400, "bad_target", 209, 0, false},
		{gate.RefuseTooLong, 414, "too_long", 209, 0, false},
		{gate.RefuseTooLarge, 413, "too_large", 210, 0, false},
		{gate.RefuseBody, 400, "bad_body", 210, 0, true},
		{gate.RefuseSlowBody, 408, "slow_body", 210, 0, true},
		{gate.RefusePlainHTTP, 400, "plain_http", 209, 0, true},
		{gate.RefuseThrottled, 429, "throttled", 110, 0, false},
		{gate.RefuseBusy, 503, "busy", 300, 1, false},
		{gate.RefuseMemory, 503, "busy", 300, 1, false},
		{gate.RefuseSpace, 503, "memory", 300, 1, false},
		{gate.RefuseUnaudited, 503, "unaudited", 300, 5, false},
		{gate.RefuseWatches, 503, "busy", 300, 1, false},
		{gate.RefuseUserWatches, 503, "busy", 300, 1, false},
		{gate.RefuseDraining, 503, "draining", 300, 1, true},
		{gate.RefuseUnreachable, 503, "unreachable", 300, 1, false},
		{gate.RefuseUpstreamBusy, 503, "busy", 300, 1, false},
		{gate.RefuseGreedy, 507, "quota", 300, 0, false},
		{gate.RefuseOpen, 507, "quota", 300, 0, false},
		{gate.RefuseFull, 507, "quota", 300, 0, false},
		{gate.RefuseUnknownOutcome, 503, "unknown_outcome", 300, 0, false},
		{gate.RefuseBroken, 502, "broken", 300, 0, false},
		{gate.RefuseTimeout, 504, "timeout", 300, 0, false},
		{gate.Malformed(431, "x"), 431, "malformed", 209, 0, true},
	} {
		var body struct{ ErrorCode int }
		if err := json.Unmarshal([]byte(c.refusal.Body), &body); err != nil {
			t.Errorf("the body of the refusal %q: got the error %v, want JSON", c.refusal.Body, err)
		}
		got := fmt.Sprint(c.refusal.Status, c.refusal.Reason, body.ErrorCode, c.refusal.RetryAfter, c.refusal.Close)
		if want := fmt.Sprint(c.status, c.reason, c.code, c.retryAfter, c.closing); got != want {
			t.Errorf("the refusal %q: got %s, want %s", c.refusal.Body, got, want)
		}
	}
}

// A write that may have reached etcd must not be called a failure in the logs.
func TestOnlyRefusalsAfterTheRequestWasSentSaySo(t *testing.T) {
	for refusal, want := range map[*gate.Refusal]bool{
		gate.RefuseUnknownOutcome: true, gate.RefuseBroken: true, gate.RefuseTimeout: true,
		gate.RefuseUnreachable: false, gate.RefuseUpstreamBusy: false, gate.RefuseGreedy: false, gate.RefuseIdentity: false, gate.RefuseUnaudited: false,
	} {
		if got := refusal.Sent(); got != want {
			t.Errorf("Sent of the refusal %s: got %t, want %t", refusal.Reason, got, want)
		}
	}
}

func TestTheMethodsOfTheAPIAreKnown(t *testing.T) {
	for method, want := range map[string]bool{
		"GET": true, "HEAD": true, "PUT": true, "POST": true, "DELETE": true, "OPTIONS": true,
		"": false, "get": false, "PATCH": false, "TRACE": false, "CONNECT": false, "GETT": false,
	} {
		if got := gate.KnownMethod(method); got != want {
			t.Errorf("KnownMethod(%q): got %t, want %t", method, got, want)
		}
	}
}

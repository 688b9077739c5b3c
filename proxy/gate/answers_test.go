package gate_test

import (
	"context"
	"encoding/base64"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"testing"
	"time"

	"etcd-tlsproxy/acl"
	"etcd-tlsproxy/proxy/gate"
	"etcd-tlsproxy/proxy/proxytest/seed"
)

func TestTheHeadOfARefusalHasWhatItsStatusNeeds(t *testing.T) {
	for what, c := range map[string]struct {
		refusal gate.Refusal
		want    map[string]string
	}{
		"401":        {gate.Refusal{Status: http.StatusUnauthorized, Body: "{}"}, map[string]string{"Www-Authenticate": `Basic realm="etcd"`}},
		"405":        {gate.Refusal{Status: http.StatusMethodNotAllowed, Body: "{}"}, map[string]string{"Allow": "GET, HEAD, PUT, POST, DELETE, OPTIONS"}},
		"a second":   {gate.Refusal{Status: 503, RetryAfter: 1, Body: "{}"}, map[string]string{"Retry-After": "1"}},
		"a closing":  {gate.Refusal{Status: 400, Close: true, Body: "{}"}, map[string]string{"Connection": "close"}},
		"a plain":    {gate.Refusal{Status: 403, Body: "{}"}, nil},
		"an unknown": {gate.Refusal{Status: 404, Body: "{ }"}, nil},
	} {
		want := map[string]string{"Content-Type": "application/json", "Content-Length": strconv.Itoa(len(c.refusal.Body))}
		maps.Copy(want, c.want)
		got := map[string]string{}
		c.refusal.Header(func(name, value string) { got[name] = value })
		if !maps.Equal(got, want) {
			t.Errorf("the head of %s refusal: got %v, want %v", what, got, want)
		}
	}
}

func TestOnlySurfacesThatAreClosedCanBeOpenedByName(t *testing.T) {
	want := map[string]gate.Surface{"members": gate.Members, "auth": gate.Auth, "config": gate.Config, "debug": gate.Debug, "v3": gate.V3}
	for s := range gate.NumSurfaces {
		name := gate.Surface(s).String()
		surface, opens := want[name]
		if got, ok := gate.ParseSurface(name); got != surface || ok != opens {
			t.Errorf("ParseSurface(%q): got %v, %t; want %v, %t", name, got, ok, surface, opens)
		}
	}
	if got, ok := gate.ParseSurface("v33"); ok || got != gate.Closed {
		t.Errorf("ParseSurface(%q): got %v, %t; want %v, false", "v33", got, ok, gate.Closed)
	}
}

func TestWhichOperationsAreBufferedAndHaveABody(t *testing.T) {
	for what, c := range map[string]struct {
		op          gate.Operation
		body, whole bool
	}{
		"a read":            {gate.Operation{Surface: gate.Keys, Method: "GET"}, false, true},
		"a HEAD":            {gate.Operation{Surface: gate.Keys, Method: "HEAD"}, false, true},
		"a write":           {gate.Operation{Surface: gate.Keys, Method: "PUT", Access: acl.Write}, true, true},
		"a DELETE":          {gate.Operation{Surface: gate.Keys, Method: "DELETE", Access: acl.Write}, false, true},
		"a list of members": {gate.Operation{Surface: gate.Members, Method: "GET"}, false, true},
		"a version":         {gate.Operation{Surface: gate.Info, Method: "GET"}, false, true},
		"a profile":         {gate.Operation{Surface: gate.Debug, Method: "GET"}, false, false},
		"the v3 API":        {gate.Operation{Surface: gate.V3, Method: "POST", Access: acl.Write}, true, false},
	} {
		if b, w := c.op.HasBody(), c.op.ReceivedWhole(); b != c.body || w != c.whole {
			t.Errorf("%s: got body %t, whole %t; want %t, %t", what, b, w, c.body, c.whole)
		}
	}
}

func TestReadsWithAWaitThatIsNotOneAreNoWatches(t *testing.T) {
	for query, want := range map[string]bool{
		"wait=true": true, "wait=1": true, "wait=T": true, "w%61it=true": true, "wait=tru%65": true, "a=b&wait=true": true,
		"": false, "wait": false, "wait=": false, "wait=false": false, "wait=0": false, "wait=yes": false, "wait=false&wait=true": false, "wait=x&wait=true": false,
		"waitt=true": false, "WAIT=true": false, "%zz=true": false, "%zz=true&wait=true": true, "wait=%zz&wait=true": true, "w%61itt=true": false, "recursive=true": false, "wait=%zz": false, "a=wait": false,
		"waitIndex=1": false, "wait=true&waitIndex=1": true, "a+b=true&wait=true": true, "wait=+true": false,
	} {
		if got := gate.Waits(query); got != want {
			t.Errorf("Waits(%q): got %t, want %t", query, got, want)
		}
	}
}

func TestLoginsThatWaitInVainAreReportedAndCostNoAttempt(t *testing.T) {
	g, p := newGate(t, nil)
	g.Throttle = acl.NewThrottle(acl.ThrottleOptions{Burst: 1, Every: time.Hour})
	var reports []string
	g.Login = func(l gate.Login) { reports = append(reports, l.Means().String()+" "+l.Result()) }
	login := func(ctx context.Context, password string) *gate.Refusal {
		var op gate.Operation
		return g.Decide(ctx, p, &gate.Request{
			Method: "PUT", Target: "/v2/keys/x", Peer: seed.Peer(),
			Authorization: "Basic " + base64.StdEncoding.EncodeToString([]byte("root:"+password)),
		}, &op)
	}
	gone, cancel := context.WithCancel(context.Background())
	cancel()
	for range 3 { // each gives its only token back
		if refusal := login(gone, "guess"); refusal != gate.RefuseBusy {
			t.Errorf("a login whose client is gone: got the refusal %v, want %v", refusal, gate.RefuseBusy)
		}
	}
	if refusal := login(context.Background(), "root-pw"); refusal != nil {
		t.Errorf("a login after them: got the refusal %v, want none", refusal)
	}
	if refusal := login(context.Background(), "guess"); refusal != gate.RefuseIdentity {
		t.Errorf("a guess: got the refusal %v, want %v", refusal, gate.RefuseIdentity)
	}
	refusal := login(context.Background(), "guess")
	if refusal == nil || refusal.Status != gate.RefuseThrottled.Status || refusal.RetryAfter < 3590 || refusal.RetryAfter > 3600 {
		t.Errorf("a guess too many: got the refusal %+v, want status %d and a wait of about an hour", refusal, gate.RefuseThrottled.Status)
	}
	want := []string{"password busy", "password busy", "password busy", "password ok", "password failed", "password throttled"}
	if !slices.Equal(reports, want) {
		t.Errorf("reported logins: got %q, want %q", reports, want)
	}
}

package observe

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"etcd-tlsproxy/acl"
	"etcd-tlsproxy/proxy/gate"
)

// audited are records with an audit log in memory.
type audited struct {
	*Records
	t   *testing.T
	log memoryLog
}

func newAudited(t *testing.T) *audited {
	a := &audited{t: t}
	a.Records = NewRecords(RecordOptions{Audit: &a.log})
	return a
}

func (a *audited) write(r *Record) { a.Records.write(r, 0) }

// lines returns the lines that were written since the last call.
func (a *audited) lines() (list []map[string]any) {
	a.t.Helper()
	for line := range strings.Lines(a.log.String()) {
		var entry map[string]any
		if err := json.Unmarshal([]byte(line), &entry); err != nil {
			a.t.Fatalf("decoding the audit line %s: %v", line, err)
		}
		list = append(list, entry)
	}
	a.log.Reset()
	return list
}

// refusedWrite is a write to a key that is refused.
func refusedWrite(from, key string, refusal *gate.Refusal) *Record {
	return &Record{
		Op: gate.Operation{
			Method: "PUT", Access: acl.Write, Surface: gate.Keys, Path: "/v2/keys" + key, Target: "/v2/keys" + key, Key: acl.Key(key), Rule: "/",
		},
		Peer: gate.NewPeer(netip.MustParseAddrPort(from), nil), Refusal: refusal, Status: refusal.Status,
	}
}

func TestEqualRefusalsOfAClientAreCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAudited(t)
		for i := range 1000 {
			a.write(refusedWrite(fmt.Sprint("192.0.2.1:", 1000+i), "/a", gate.RefuseIdentity))
		}
		if got := a.lines(); len(got) != 1 || got[0]["from"] != "192.0.2.1:1000" || got[0]["key"] != "/a" || got[0]["times"] != nil || got[0]["path"] != nil {
			t.Errorf("at once: got the lines %v, want one, of the first refusal", got)
		}
		a.write(refusedWrite("192.0.2.2:1", "/a", gate.RefuseIdentity))
		a.write(refusedWrite("192.0.2.1:1", "/b", gate.RefuseIdentity))
		a.write(refusedWrite("192.0.2.1:1", "/a", gate.RefuseReserved))
		if got := a.lines(); len(got) != 3 {
			t.Errorf("after other refusals: got the lines %v, want 3", got)
		}
		time.Sleep(auditWindow) //nolint:forbidigo // the clock is the bubble's: nothing waits
		synctest.Wait()
		if got := a.lines(); len(got) != 1 || got[0]["times"] != 999.0 || got[0]["verdict"] != "unauthorized" || got[0]["key"] != "/a" {
			t.Errorf("at the end of the window: got the lines %v, want one for 999 refusals", got)
		}
		a.write(refusedWrite("192.0.2.1:1", "/a", gate.RefuseIdentity))
		if got := a.lines(); len(got) != 1 {
			t.Errorf("in the next window: got the lines %v, want one", got)
		}
		a.write(refusedWrite("192.0.2.1:1", "/a", gate.RefuseIdentity))
		a.Flush()
		if got := a.lines(); len(got) != 1 {
			t.Errorf("after Flush: got the lines %v, want one for the refusal that was counted", got)
		}
		a.Flush()
	})
}

func TestALineOfSeveralRefusalsHasTheirFirstAndLastID(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAudited(t)
		refuse := func(key, id string) {
			r := refusedWrite("192.0.2.1:1", key, gate.RefuseIdentity)
			r.RequestID = id
			a.write(r)
		}
		for i := range 5 {
			refuse("/five", fmt.Sprint("five-", i))
		}
		for i := range 2 {
			refuse("/two", fmt.Sprint("two-", i))
		}
		for i := range maxClientEntries + 1 {
			refuse(fmt.Sprint("/many/", i), fmt.Sprint("many-", i))
		}
		for _, line := range a.lines() {
			if line["id"] == nil || line["last_id"] != nil {
				t.Errorf("at once: got the line %v, want an id and no last_id", line)
			}
		}
		a.Flush()
		type ids struct{ first, last, times any }
		got := make(map[any]ids)
		for _, line := range a.lines() {
			key := line["key"]
			if key == nil {
				key = line["verdict"]
			}
			got[key] = ids{line["id"], line["last_id"], line["times"]}
		}
		want := map[any]ids{
			"/five": {"five-1", "five-4", 4.0},
			"/two":  {"two-1", nil, nil},
			several: {"many-98", "many-100", 3.0},
		}
		if !maps.Equal(got, want) {
			t.Errorf("at the end of the window: got %v, want %v", got, want)
		}
	})
}

func TestDifferentRefusalsAreBoundedForAClientAndForAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAudited(t)
		long := strings.Repeat("/é", 1000)
		for i := range 5000 {
			a.write(refusedWrite("192.0.2.1:1", fmt.Sprint(long, i), gate.RefuseIdentity))
			a.write(refusedWrite("192.0.2.1:1", fmt.Sprint("/", i, long), gate.RefuseIdentity))
		}
		if size := a.log.Len(); size > maxClientEntries*600 {
			t.Errorf("10,000 refusals of one client: got %d bytes of log, want at most %d", size, maxClientEntries*600)
		}
		if got := a.lines(); len(got) != maxClientEntries || len(fmt.Sprint(got[0]["key"])) > maxShown {
			t.Errorf("10,000 refusals of one client: got %d lines, the first with the key %v; want %d with keys of at most %d bytes", len(got), got[0]["key"], maxClientEntries, maxShown)
		}
		for i := range 2 * maxEntries {
			a.write(refusedWrite(fmt.Sprintf("10.%d.%d.%d:1", i>>16, i>>8&255, i&255), "/a", gate.RefuseIdentity))
		}
		if n := len(a.lines()); n > maxEntries {
			t.Errorf("refusals of %d clients: got %d lines, want at most %d", 2*maxEntries, n, maxEntries)
		}
		time.Sleep(auditWindow) //nolint:forbidigo // the clock is the bubble's: nothing waits
		synctest.Wait()
		total, client := 0.0, 0.0
		for _, line := range a.lines() {
			times, _ := line["times"].(float64)
			switch line["verdict"] {
			case several:
				total += times
			case "unauthorized":
				client += times
			}
		}
		// The first key of the client was refused 5,000 times, because it is cut.
		if client != 4999 || total != 5000-(maxClientEntries-1)+2*maxEntries-(maxEntries-maxClientEntries-1) {
			t.Errorf("at the end of the window: got %v refusals counted in equal lines and %v in others", client, total)
		}
	})
}

func TestEachWriteThatMayHaveHappenedHasALine(t *testing.T) {
	a := newAudited(t)
	for _, refusal := range []*gate.Refusal{gate.RefuseUnknownOutcome, gate.RefuseTimeout, gate.RefuseBroken} {
		for range 200 {
			a.write(refusedWrite("192.0.2.1:1", "/a", refusal))
		}
		if n := len(a.lines()); n != 200 {
			t.Errorf("200 equal writes with the outcome %s: got %d lines, want 200", refusal.Reason, n)
		}
	}
	long := "/" + strings.Repeat("a", 3000)
	for range 200 {
		r := refusedWrite("192.0.2.1:1", long, gate.RefuseIdentity)
		r.Refusal, r.Status = nil, 200
		a.write(r)
	}
	if got := a.lines(); len(got) != 200 || got[0]["verdict"] != "allowed" || got[0]["key"] != long {
		t.Errorf("200 equal writes: got %d lines, want 200 with the whole key", len(got))
	}
	read := refusedWrite("192.0.2.1:1", "/a", gate.RefuseIdentity)
	read.Op.Method, read.Op.Access, read.Refusal = "GET", acl.Read, nil
	if a.write(read); a.log.Len() > 0 {
		t.Errorf("a read: got the line %s, want none", a.log.String())
	}
}

func TestALineSaysWhyTheProxyWasBusy(t *testing.T) {
	a := newAudited(t)
	for _, refusal := range []*gate.Refusal{gate.RefuseUpstreamBusy, gate.RefuseMemory, gate.RefuseTimeout} {
		a.write(refusedWrite("192.0.2.1:1", "/a", refusal))
		if got := a.lines(); len(got) != 1 || got[0]["verdict"] != refusal.Reason || got[0]["cause"] != refusal.Cause {
			t.Errorf("a write refused with %s (%s): got the lines %v, want one with this cause", refusal.Reason, refusal.Cause, got)
		}
	}
	r := refusedWrite("192.0.2.1:1", "/a", gate.RefuseIdentity)
	r.Refusal, r.Status = nil, 200
	if a.write(r); strings.Contains(a.log.String(), "cause") {
		t.Errorf("a write that was allowed: got the line %s, want no cause", a.log.String())
	}
}

func TestALineForDifferentRefusalsHasNoFieldThatDiffers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAudited(t)
		for i := range maxClientEntries + 50 {
			r := refusedWrite("192.0.2.1:1", fmt.Sprint("/", i), gate.RefuseIdentity)
			if r.Op.Login = gate.LoginMissing; i%5 == 0 {
				r.Op.Login, r.Refusal = gate.LoginThrottled, gate.RefuseThrottled
			}
			a.write(r)
		}
		a.lines()
		time.Sleep(auditWindow) //nolint:forbidigo // the clock is the bubble's: nothing waits
		synctest.Wait()
		lines := a.lines()
		if len(lines) != 1 {
			t.Fatalf("the end of the window: got %d lines, want 1: %v", len(lines), lines)
		}
		for _, id := range []string{"time", "id", "last_id"} {
			delete(lines[0], id)
		}
		want := map[string]any{
			"level": "INFO", "msg": "request", "verdict": several, "user": "-", "from": "192.0.2.1/32", "times": 50.0,
			"verdicts": map[string]any{"unauthorized": 40.0, "throttled": 10.0}, "logins": map[string]any{"no_credentials": 40.0, "throttled": 10.0},
		}
		if !reflect.DeepEqual(lines[0], want) {
			t.Errorf("the line: got %v, want %v", lines[0], want)
		}
	})
}

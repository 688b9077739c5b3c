package lane

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"etcd-tlsproxy/acl"
	"etcd-tlsproxy/proxy/account"
	"etcd-tlsproxy/proxy/gate"
	"etcd-tlsproxy/proxy/v2store"
	"etcd-tlsproxy/proxy/v2v3"
)

// membered is a store that answers about members.
type membered struct {
	answers
	during func()
	failed error
}

func (m *membered) Members(_ context.Context, method, path, _ string, _ []byte) (v2v3.Reply, error) {
	m.during()
	return v2v3.Reply{Status: 201, Fields: [][2]string{{"Content-Type", "x"}}, Body: []byte(method + path)}, m.failed
}

func (m *membered) MemberList(context.Context) ([]v2v3.Member, error) {
	m.during()
	return []v2v3.Member{{ID: 0x1a, Name: "one", ClientURLs: []string{"http://one"}, Leader: true, Answers: true}}, m.failed
}

func (m *membered) Statistics() []byte { return []byte(`{"statistics"`) }

func TestAnAnswerAboutMembersHasASlotWhileItIsMade(t *testing.T) {
	store := &membered{}
	r := newStoreRig(t, &store.answers)
	r.snapshot.Origin.Store = store
	asked := 0
	store.during = func() {
		asked++
		if got := r.Slots.Used(); got != 1 {
			t.Errorf("while the store is asked %d slots are in use, want one", got)
		}
	}
	for _, test := range []struct {
		method, target, body string
		asked                int
	}{{"GET", "/v2/members", "GET", 1}, {"GET", "/v2/members/leader", "GET/leader", 1}, {"HEAD", "/v2/members", "", 1}, {"GET", "/v2/machines", "http://one", 1},
		{"GET", "/v2/stats/leader", `{"leader":"1a"`, 1}, {"GET", "/v2/stats/self", `{"name":"one"`, 1}, {"GET", "/v2/stats/store", `{"statistics"`, 0}} {
		asked = 0
		a := r.mustDo(t, r.clientCall(t, test.method, test.target))
		if got := string(a.Body); !strings.HasPrefix(got, test.body) || test.body == "" && got != "" || !a.Whole || a.Length == 0 || asked != test.asked {
			t.Errorf("%s %s: got %q of %d bytes after %d questions, want %q", test.method, test.target, got, a.Length, asked, test.body)
		}
		if got := r.Slots.Used(); got != 0 {
			t.Errorf("%s %s: %d slots are in use afterwards, want none", test.method, test.target, got)
		}
		a.Close()
	}
	store.failed = &v2v3.Error{Kind: v2v3.NotServed, Reason: "why"}
	for _, target := range []string{"/v2/members", "/v2/machines"} {
		if _, refusal, err := r.Do(t.Context(), r.clientCall(t, "GET", target), room(100)); refusal != gate.RefuseStore || err != nil || r.Slots.Used() != 0 {
			t.Errorf("%s, which failed: got the refusal %v and the error %v, want %v and no slot", target, refusal, err, gate.RefuseStore)
		}
	}
	asked = 0
	call := r.clientCall(t, "GET", "/v2/members")
	for r.Slots.TryAcquire(call.Peer.Account, 1, account.Ordinary) {
	}
	used := r.Slots.Used()
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if _, refusal, err := r.Do(gone, call, room(100)); refusal != nil || !errors.Is(err, ErrBrokenOff) || asked != 0 || r.Slots.Used() != used {
		t.Errorf("without a slot: got the refusal %v and the error %v after %d questions, want %v and none", refusal, err, asked, ErrBrokenOff)
	}
	r.Slots.Release(call.Peer.Account, used, account.Ordinary)
}

// TestAWholeAnswerGivesItsSlotBackBeforeItIsSent finishes it, as a lane does when it has the head.
func TestAWholeAnswerGivesItsSlotBackBeforeItIsSent(t *testing.T) {
	r, _ := newBulkRig(t, 1000)
	r.Bulk = nil
	call := r.call(t, "HEAD", "/v2/keys/a", "")
	call.Peer.Account = r.Accounts.Address(call.Peer.Addr.Addr())
	defer call.Peer.Account.Close()
	a := r.mustDo(t, call)
	if !a.Whole || r.Slots.Used() != 1 {
		t.Fatalf("got whole %v and %d slots in use, want a whole answer with its slot", a.Whole, r.Slots.Used())
	}
	if a.Finish(); r.Slots.Used() != 0 {
		t.Errorf("after Finish %d slots are in use, want none", r.Slots.Used())
	}
	a.Close()
}

// TestALargeAnswerOfAStoreWithoutBoundsIsSent has neither pools of bytes nor of memory.
func TestALargeAnswerOfAStoreWithoutBoundsIsSent(t *testing.T) {
	r := newStoreRig(t, &answers{answer: found(8 << 20)})
	r.Bulk, r.Memory = nil, nil
	a := r.mustDo(t, r.clientCall(t, "GET", "/v2/keys/a"))
	if got := len(text(t, &a)); got < 8<<20 {
		t.Errorf("got %d bytes, want all of them", got)
	}
	a.Close()
}

func TestAStoreDoesNothingElseThanTheGateHasDecidedOn(t *testing.T) {
	read := gate.Operation{Key: "/a", Method: gate.MethodGet, Access: acl.Read}
	watch := read
	watch.Watch = true
	for what, test := range map[string]struct {
		op     gate.Operation
		parsed v2store.Operation
		good   bool
	}{
		"a read":                  {read, v2store.Operation{Key: "/a", Action: v2store.Get}, true},
		"a watch":                 {watch, v2store.Operation{Key: "/a", Action: v2store.Watch}, true},
		"a quorum read as watch":  {watch, v2store.Operation{Key: "/a", Action: v2store.Get, Quorum: true}, true},
		"another key":             {read, v2store.Operation{Key: "/b", Action: v2store.Get}, false},
		"the root":                {read, v2store.Operation{Action: v2store.Get}, false},
		"a write for a read":      {read, v2store.Operation{Key: "/a", Action: v2store.Set}, false},
		"a watch for a read":      {read, v2store.Operation{Key: "/a", Action: v2store.Watch}, false},
		"a plain read as a watch": {watch, v2store.Operation{Key: "/a", Action: v2store.Get}, false},
	} {
		func() {
			defer func() {
				if good := recover() == nil; good != test.good {
					t.Errorf("%s: allowed is %v, want %v", what, good, test.good)
				}
			}()
			checkParsed(&test.op, &test.parsed)
		}()
	}
}

func TestARequestIsSlowWhenItHasWaitedForSomeTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var q Queue
		if q.Slow() || q.Leave() {
			t.Error("a request that does not wait is slow, or leaves")
		}
		ended := false
		q.Set(func() { ended = true })
		for _, slow := range []bool{false, true} {
			time.Sleep(blockedFor - time.Nanosecond) //nolint:forbidigo // the clock is the bubble's: nothing waits
			if slow {
				q.Set(func() { ended = true })
				time.Sleep(blockedFor) //nolint:forbidigo // the clock is the bubble's: nothing waits
			}
			if got := q.Slow(); got != slow {
				t.Errorf("slow is %v, want %v", got, slow)
			}
		}
		if !q.Leave() || !ended {
			t.Error("a request that waits does not leave")
		}
	})
}

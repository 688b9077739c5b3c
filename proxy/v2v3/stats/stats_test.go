package stats

import (
	"encoding/json"
	"maps"
	"strings"
	"testing"

	"etcd-tlsproxy/proxy/v2store"
	"etcd-tlsproxy/proxy/v2v3/members"
)

func TestTheLeaderIsNoFollowerOfItself(t *testing.T) {
	list := []members.Member{
		{ID: 0x1a, Name: "one", ClientURLs: []string{"https://two:4002"}, Answers: true},
		{ID: 0x2b, Name: "two", ClientURLs: []string{"https://two:4003", "https://one:4001"}, Leader: true},
		{ID: 0x3c, Name: "three"}, // was never started
	}
	if got, want := string(Machines(list)), "https://one:4001, https://two:4002, https://two:4003"; got != want {
		t.Errorf("the machines: got %q, want %q", got, want)
	}
	if got := string(Leader(list)); !strings.HasPrefix(got, `{"leader":"2b","followers":{"1a":{"latency":{"current":0,`) || !strings.Contains(got, `"3c":{`) || strings.Contains(got, `"2b":{`) {
		t.Errorf("the leader: got %s, want 2b with the followers 1a and 3c", got)
	}
	for i, want := range []string{`{"name":"one","id":"1a","state":"StateFollower",`, `{"name":"two","id":"2b","state":"StateLeader",`} {
		list[0].Answers, list[1].Answers = i == 0, i == 1
		if got := string(Self(list)); !strings.HasPrefix(got, want) || !strings.Contains(got, `"leaderInfo":{"leader":"2b","uptime":"0s",`) {
			t.Errorf("the member: got %s, want %s and the leader 2b", got, want)
		}
	}
}

func TestOperationsAreCountedInTheGroupsOfEtcd(t *testing.T) {
	var c Counts
	for action, name := range map[v2store.Action]string{
		v2store.Get: "gets", v2store.Set: "sets", v2store.Update: "update", v2store.Create: "create",
		v2store.CompareAndSwap: "compareAndSwap", v2store.Delete: "delete", v2store.CompareAndDelete: "compareAndDelete",
	} {
		c.Succeeded(action)
		c.Failed(action, v2store.CodeKeyNotFound)
		c.Failed(action, v2store.CodeKeyNotFound)
		if got := string(c.Store(3)); !strings.Contains(got, `"`+name+`Success":1,`) || !strings.Contains(got, `"`+name+`Fail":2,`) || !strings.HasSuffix(got, `"expireCount":0,"watchers":3}`) {
			t.Errorf("%s: got %s, want one success, two failures and three watchers", action, got)
		}
	}
	c.Succeeded(v2store.Expire)
	if got := string(c.Store(0)); !strings.HasPrefix(got, `{"getsSuccess":1,`) || !strings.HasSuffix(got, `"expireCount":1,"watchers":0}`) {
		t.Errorf("%s: got %s, want one expiration, and no read more", v2store.Expire, got)
	}
}

// TestEachFailureIsCountedWhereEtcdCountsIt names the failures that etcd counts elsewhere than as
// a failure of their own group.
func TestEachFailureIsCountedWhereEtcdCountsIt(t *testing.T) {
	names := map[v2store.Action]string{
		v2store.Get: "gets", v2store.Set: "sets", v2store.Update: "update", v2store.Create: "create",
		v2store.CompareAndSwap: "compareAndSwap", v2store.Delete: "delete", v2store.CompareAndDelete: "compareAndDelete",
	}
	type failure struct {
		action v2store.Action
		code   int
	}
	elsewhere := map[failure]map[string]int{
		{v2store.Get, v2store.CodeRootReadOnly}:              {"getsSuccess": 1},
		{v2store.Update, v2store.CodeRootReadOnly}:           {"updateSuccess": 1},
		{v2store.CompareAndSwap, v2store.CodeRootReadOnly}:   {"compareAndSwapSuccess": 1},
		{v2store.Delete, v2store.CodeRootReadOnly}:           {"deleteSuccess": 1},
		{v2store.CompareAndDelete, v2store.CodeRootReadOnly}: {"compareAndDeleteSuccess": 1},
		{v2store.Update, v2store.CodeNotFile}:                {"updateSuccess": 1},
		{v2store.CompareAndDelete, v2store.CodeNotFile}:      {"compareAndDeleteSuccess": 1},
		{v2store.CompareAndDelete, v2store.CodeTestFailed}:   {"compareAndDeleteSuccess": 1},
		{v2store.Create, v2store.CodeNotDir}:                 {"createFail": 1, "setsFail": 1},
	}
	codes := []int{
		v2store.CodeKeyNotFound, v2store.CodeTestFailed, v2store.CodeNotFile, v2store.CodeNotDir,
		v2store.CodeNodeExist, v2store.CodeRootReadOnly, v2store.CodeDirNotEmpty,
	}
	for action, name := range names {
		for _, code := range codes {
			want, ok := elsewhere[failure{action, code}]
			if !ok {
				want = map[string]int{name + "Fail": 1}
			}
			var c Counts
			c.Failed(action, code)
			got := make(map[string]int)
			if err := json.Unmarshal(c.Store(0), &got); err != nil {
				t.Fatal(err)
			}
			maps.DeleteFunc(got, func(_ string, n int) bool { return n == 0 })
			if !maps.Equal(got, want) {
				t.Errorf("%s that failed with the code %d: got the counts %v, want %v", action, code, got, want)
			}
		}
	}
}

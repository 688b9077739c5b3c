package main

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"etcd-tlsproxy/acl"
	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/console"
	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/daemon/daemontest"
	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/explain"
	"etcd-tlsproxy/proxy/gate"
	"etcd-tlsproxy/proxy/proxytest"
)

func TestTheKeysOfARealEtcdAreCompared(t *testing.T) {
	etcd, err := proxytest.StartEmbedded(proxytest.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer etcd.Close()
	for _, key := range []string{"/conftool/v1/a", "/conftool/v1/b%0a", "/x"} {
		if status, _, _ := send(t, http.DefaultClient, "PUT", etcd.URL()+"/v2/keys"+key, ""); status != 201 {
			t.Fatalf("writing %s: got status %d", key, status)
		}
	}
	f := newFolder(t, fmt.Sprintf(daemontest.SeedConfig, etcd.URL()))
	other := newFolder(t, strings.Replace(fmt.Sprintf(daemontest.SeedConfig, etcd.URL()), `"/conftool" = ["root", "conftool"]`, `"/conftool" = ["conftool", "x"]`, 1))
	var out, errs strings.Builder
	code := run(context.Background(), []string{"explain", "-c", filepath.Join(f.dir, "etcd-tlsproxy.toml"), "--diff", filepath.Join(other.dir, "etcd-tlsproxy.toml"),
		"--endpoints", etcd.URL(), "--output", "json"}, &out, &errs)
	var diff explain.Diff
	if err := json.Unmarshal([]byte(out.String()), &diff); err != nil || code != console.ExitNo {
		t.Fatalf("explain --diff ended with status %d and the error %v:\n%s%s", code, err, &out, &errs)
	}
	// Keys: /, /conftool, /conftool/v1, its one good key, /x.
	got := map[string][]string{}
	for _, c := range diff.Changes {
		who := fmt.Sprintf("%s %s %s", c.Now, c.User, c.Access)
		got[who] = append(got[who], c.Keys...)
		slices.Sort(got[who])
	}
	// Root loses / as well, by the rule below it.
	want := map[string][]string{"refused root write": {"/", "/conftool", "/conftool/example", "/conftool/v1", "/conftool/v1/a"},
		"allowed x write": {"/conftool", "/conftool/example", "/conftool/v1", "/conftool/v1/a"}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("the keys of the changes: got %v, want %v", got, want)
	}
	// Examples: one below each of three prefixes, and /eventlogging itself.
	if diff.Keys != 5 || diff.Examples != 4 || diff.Changed != 9 || diff.Users != 4 || diff.Decisions != (5+4+6)*2*4 || len(diff.Unread) != 1 {
		t.Errorf("the comparison: got %+v, want 9 of 120 decisions changed, for 5 keys, 4 examples and 4 users, and one unread key", diff)
	}
}

// TestAComparisonMissesNothing compares the result for each key and user with the
// decisions of both tables.
func TestAComparisonMissesNothing(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	table := func() *gate.Policy {
		group := func() explain.Group {
			if random.IntN(3) == 0 {
				return explain.Group{Everyone: true}
			}
			return explain.Group{Users: []string{"u", "v", "w"}[:1+random.IntN(3)]}
		}
		t := &explain.Table{Target: 4000, ReadOnly: random.IntN(8) == 0, Bytewise: random.IntN(2) == 0}
		for _, prefix := range []string{"/", "/a", "/a/b", "/ab"} {
			if random.IntN(3) > 0 {
				t.Rules = append(t.Rules, explain.TableRule{Prefix: prefix, Read: group(), Write: group()})
			}
		}
		s, err := t.Snapshot()
		if err != nil {
			panic(err)
		}
		return s
	}
	keys, _, err := explain.ReadKeys(strings.NewReader("/a/b/c\n/ab/c/\n/abc\n/b\n\n"), "keys")
	if err != nil || len(keys) != 8 {
		t.Fatalf("reading the keys: got %v and the error %v", keys, err)
	}
	for range 300 {
		before, after := table(), table()
		diff := explain.Compare(before, after, keys, nil)
		changes := map[string]string{}
		for _, change := range diff.Changes {
			for _, key := range change.Keys {
				changes[change.User+" "+change.Access+" "+key] = change.Now
			}
		}
		users := usersNamed(before, after)
		count := 0
		// The keys that stand for rules are compared as well, and reported if they change.
		all := slices.Clone(keys)
		for _, change := range diff.Changes {
			for _, key := range change.Keys {
				all = append(all, acl.Key(key))
			}
		}
		for _, rule := range slices.Concat(before.Rules.All(), after.Rules.All()) {
			all = append(all, rule.Prefix)
		}
		slices.Sort(all)
		all = slices.Compact(all)
		for _, user := range append(users, "", "stranger") {
			for method, access := range map[string]string{"DELETE": "write", "GET": "read"} {
				for _, key := range all {
					was, is := before.Explain(method, string(key), user).Allowed, after.Explain(method, string(key), user).Allowed
					want := "" // no change
					switch {
					case is && !was:
						want = "allowed"
					case was && !is:
						want = "refused"
					}
					name := user
					if user == "stranger" {
						name = "" // a user whom no table names has the rights of a client that is not logged in
					} else if want != "" {
						count++
					}
					if got := changes[name+" "+access+" "+string(key)]; got != want {
						t.Fatalf("the change of %s %s by %q: got %q, want %q", access, key, user, got, want)
					}
				}
			}
		}
		if count != diff.Changed || diff.Users != len(users)+1 {
			t.Fatalf("got %d changes for %d users, want %d changes", diff.Changed, diff.Users, count)
		}
	}
}

func usersNamed(snapshots ...*gate.Policy) []string {
	var names []string
	for _, s := range snapshots {
		for _, rule := range explain.TableOf(s).Rules {
			names = append(names, slices.Concat(rule.Read.Users, rule.Write.Users)...)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

package explain

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"reflect"
	"slices"
	"strings"
	"testing"

	client "go.etcd.io/etcd/client/v2"
	"go.uber.org/goleak"

	"etcd-tlsproxy/acl"
	"etcd-tlsproxy/proxy/gate"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// newPolicy returns a policy with the given rules.
func newPolicy(t *testing.T, match acl.Match, rules ...acl.Rule) *gate.Policy {
	t.Helper()
	compiled, err := acl.NewRules(match, rules...)
	if err != nil {
		t.Fatal(err)
	}
	return &gate.Policy{Rules: compiled, MaxTarget: 4096, Surfaces: map[gate.Surface]acl.Group{}}
}

// writable returns a rule that everyone can read and the users can write.
func writable(prefix acl.Key, users ...string) acl.Rule {
	return acl.Rule{Prefix: prefix, Read: acl.Everyone(), Write: acl.Only(users...)}
}

// table is the policy of most tests: a secret below an open folder, and no rule for /.
func table(t *testing.T) *gate.Policy {
	t.Helper()
	return newPolicy(t, acl.MatchSegments,
		writable("/a", "root", "alice"),
		acl.Rule{Prefix: "/a/secret", Read: acl.Only("root"), Write: acl.Only("root")},
		acl.Rule{Prefix: "/open", Read: acl.Everyone(), Write: acl.Everyone()},
	)
}

func checkText(t *testing.T, what string, write func(*strings.Builder) error, want string) {
	t.Helper()
	var got strings.Builder
	if err := write(&got); err != nil {
		t.Fatal(err)
	}
	if got.String() != want {
		t.Errorf("%s: got\n%s\nwant\n%s", what, got.String(), want)
	}
}

func TestAnExplanationBeginsWithItsVerdict(t *testing.T) {
	s := table(t)
	readOnly := table(t)
	readOnly.ReadOnly = true
	for _, c := range []struct {
		name                 string
		s                    *gate.Policy
		method, target, user string
		want                 string
	}{
		{"a key without a rule", s, "PUT", "/other", "alice", "refused: PUT /v2/keys/other by alice, by no rule\n401 unauthorized: Insufficient credentials\nmay: no one; not alice, who counts as logged in\n"},
		{"a user of the rule", s, "PUT", "/a/x", "alice", "allowed: PUT /v2/keys/a/x by alice, by rule /a\nmay: alice, root\n"},
		{"an open rule", s, "PUT", "/open/x", "", "allowed: PUT /v2/keys/open/x by an anonymous client, by rule /open\nmay: everyone\n"},
		{"another user", s, "PUT", "/a/x", "bob", "refused: PUT /v2/keys/a/x by bob, by rule /a\n401 unauthorized: Insufficient credentials\nmay: alice, root; not bob, who counts as logged in\n"},
		{"a rule below the folder", s, "DELETE", "/a?recursive=true", "alice", "refused: DELETE /v2/keys/a?recursive=true by alice, by rule /a/secret\n401 unauthorized: Insufficient credentials\nmay: root; not alice, who counts as logged in\n"},
		{"a read that is restricted", s, "GET", "/a/secret", "", "refused: GET /v2/keys/a/secret by an anonymous client, by rule /a/secret\n401 unauthorized: Insufficient credentials\nmay: root\n"},
	} {
		e := c.s.Explain(c.method, c.target, c.user)
		checkText(t, c.name, func(b *strings.Builder) error { return WriteExplanation(b, e) }, c.want)
	}
	for _, c := range []struct {
		name           string
		s              *gate.Policy
		method, target string
		status         int
	}{
		{"a closed surface", s, "POST", "/v3/kv/put", http.StatusForbidden},
		{"a malformed path", s, "GET", "/a/../b", http.StatusBadRequest},
		{"a read-only proxy", readOnly, "PUT", "/a/x", http.StatusForbidden},
		{"a key that is too deep", s, "GET", strings.Repeat("/d", acl.MaxDepth+1), http.StatusBadRequest},
		{"a reserved key", s, "PUT", "/0/members/1f/attributes", http.StatusForbidden},
	} {
		if e := c.s.Explain(c.method, c.target, "root"); e.Allowed || e.Status != c.status {
			t.Errorf("%s: got allowed %v and status %d, want refused with %d", c.name, e.Allowed, e.Status, c.status)
		}
	}
}

func TestWhoMayNamesTheRulesThatNarrowAccess(t *testing.T) {
	s := table(t)
	for _, c := range []struct {
		key  acl.Key
		want string
	}{
		{"/a", "/a\nread:  root, by rule /a, except users whom these rules exclude: /a/secret\nwrite: root, by rule /a, except users whom these rules exclude: /a/secret\n"},
		{"/a/x", "/a/x\nread:  everyone, by rule /a\nwrite: alice, root, by rule /a\n"},
		{"/open", "/open\nread:  everyone, by rule /open\nwrite: everyone, by rule /open\n"},
		{"/other", "/other\nread:  everyone, by no rule\nwrite: no one, by no rule\n"},
	} {
		checkText(t, "who may access "+string(c.key), func(b *strings.Builder) error { return WhoMay(s, c.key).WriteText(b) }, c.want)
	}
	s.ReadOnly = true
	if got := WhoMay(s, "/open").Write; got.Refused == "" || got.Everyone {
		t.Errorf("writes to a read-only proxy: got %+v, want a reason and an empty group", got)
	}
}

func TestWhatMaySaysHowFarEachRightReaches(t *testing.T) {
	s := table(t)
	members, ok := gate.ParseSurface("members")
	if !ok {
		t.Fatal("there is no surface members")
	}
	s.Surfaces[members] = acl.Only("alice")
	got := WhatMay(s, "alice")
	want := []Extent{
		// Everyone can read keys without a rule, as far as no rule below refuses.
		{Rule: "", Read: Reach{Allowed: Partly, Refusing: "/a/secret"}, Write: Reach{Allowed: No}},
		{Rule: "/a", Read: Reach{Allowed: Partly, Refusing: "/a/secret"}, Write: Reach{Allowed: Partly, Refusing: "/a/secret"}},
		{Rule: "/a/secret", Read: Reach{Allowed: No}, Write: Reach{Allowed: No}},
		{Rule: "/open", Read: Reach{Allowed: Yes}, Write: Reach{Allowed: Yes}},
	}
	if !reflect.DeepEqual(got.Rules, want) {
		t.Errorf("rules: got %+v, want %+v", got.Rules, want)
	}
	for _, surface := range got.Surfaces {
		if want := surface.Name == "members"; surface.Write != want {
			t.Errorf("writes to the surface %s: got %v, want %v", surface.Name, surface.Write, want)
		}
	}
	var text strings.Builder
	if err := got.WriteText(&text); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(text.String(), "partly: except keys at or above /a/secret") {
		t.Errorf("text: got\n%s\nwant how far the right of /a reaches", text.String())
	}
}

func TestADiffSaysThatATableIsReadOnly(t *testing.T) {
	before, after := table(t), table(t)
	after.ReadOnly = true
	members, ok := gate.ParseSurface("members")
	if !ok {
		t.Fatal("there is no surface members")
	}
	for _, s := range []*gate.Policy{before, after} {
		s.Surfaces[members] = acl.Only("root")
	}
	for direction, want := range map[string][]string{
		"on":  {"refused now: write of 2 keys by alice; rule /a before, read_only for everyone now\n", "refused now: write of the surface members by root; list of users before, read_only for everyone now\n"},
		"off": {"allowed now: write of 2 keys by alice; read_only for everyone before, rule /a now\n", "allowed now: write of the surface members by root; read_only for everyone before, list of users now\n"},
	} {
		diff := Compare(before, after, []acl.Key{"/a/x"}, nil)
		if direction == "off" {
			diff = Compare(after, before, []acl.Key{"/a/x"}, nil)
		}
		var text strings.Builder
		if err := diff.WriteText(&text); err != nil {
			t.Fatal(err)
		}
		for _, line := range want {
			if !strings.Contains(text.String(), line) {
				t.Errorf("read_only is switched %s: got\n%s\nwant %q", direction, &text, line)
			}
		}
	}
}

func TestADiffGroupsDecisionsByTheirCause(t *testing.T) {
	before := table(t)
	after := newPolicy(t, acl.MatchSegments,
		writable("/a", "root", "carol"),
		acl.Rule{Prefix: "/a/secret", Read: acl.Only("root"), Write: acl.Only("root")},
		acl.Rule{Prefix: "/open", Read: acl.Everyone(), Write: acl.Everyone()},
	)
	keys := []acl.Key{"/", "/a", "/a/secret", "/a/x", "/a/y", "/open", "/open/x"}
	got := Compare(before, after, keys, []string{"/x//y"})
	want := []*Change{
		{Cause: Cause{User: "alice", Access: "write", Now: "refused", RuleBefore: "/a", RuleNow: "/a"}, Keys: []string{"/a/example", "/a/x", "/a/y"}},
		{Cause: Cause{User: "carol", Access: "write", Now: "allowed", RuleBefore: "/a", RuleNow: "/a"}, Keys: []string{"/a/example", "/a/x", "/a/y"}},
	}
	if !reflect.DeepEqual(got.Changes, want) {
		encoded, err := json.Marshal(got.Changes)
		t.Errorf("changes: got %s (%v), want that alice loses and carol gains writes of /a/example, /a/x and /a/y", encoded, err)
	}
	// Anonymous, alice, carol and root; reads and writes of seven keys, of an example below
	// each of four prefixes, and of six surfaces.
	if got.Users != 4 || got.Changed != 6 || got.Examples != 4 || got.Decisions != 4*2*(len(keys)+4+len(surfaces)) {
		t.Errorf("got %d users, %d examples, %d of %d decisions changed; want 4 users, 4 examples, 6 of %d", got.Users, got.Examples, got.Changed, got.Decisions, 4*2*(len(keys)+4+len(surfaces)))
	}
	var text strings.Builder
	if err := got.WriteText(&text); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"refused now: write of 3 keys by alice; rule /a before, rule /a now\n    /a/example, /a/x, /a/y\n", `can name: 1, for example "/x//y"`, "6 of 136 decisions change; compared were 7 keys, 4 more that stand for the rules"} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("text: got\n%s\nwant %q", text.String(), want)
		}
	}
	if same := Compare(before, before, keys, nil); same.Changed != 0 || len(same.Changes) != 0 {
		t.Errorf("a table compared with itself: got %d changes, want none", same.Changed)
	}
}

func TestADiffCountsOneKeyInTheSingular(t *testing.T) {
	table := newPolicy(t, acl.MatchSegments, writable("/", "root"))
	var text strings.Builder
	if err := Compare(table, table, []acl.Key{"/a"}, nil).WriteText(&text); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(text.String(), " decisions change; compared were 1 key, ") {
		t.Errorf("the comparison of a table for one key: got %q, want 1 key", text.String())
	}
}

func TestADiffReportsARuleBeforeItsKeysExist(t *testing.T) {
	before := newPolicy(t, acl.MatchSegments, writable("/", "root"))
	for _, c := range []struct {
		what string
		now  *gate.Policy
		want string
	}{
		{"a new rule", newPolicy(t, acl.MatchSegments, writable("/", "root"), writable("/new", "alice")), "allowed alice write [/new /new/example]; refused root write [/ /new /new/example]"},
		{"a rule below an example", newPolicy(t, acl.MatchSegments, writable("/", "root"), writable("/example", "root"), writable("/example/example", "alice")),
			"allowed alice write [/example/example /example/example/example]; refused root write [/ /example /example/example /example/example/example]"},
		{"other users for everything", newPolicy(t, acl.MatchSegments, writable("/", "alice")), "allowed alice write [/ /example]; refused root write [/ /example]"},
		{"a rule for the bytes of its prefix", newPolicy(t, acl.MatchBoth, writable("/", "root"), writable("/new", "root"), writable("/new/x", "root")), ""},
		{"a rule that restricts other keys by its bytes", newPolicy(t, acl.MatchBoth, writable("/", "root", "alice"), writable("/new", "alice")),
			"allowed alice write [/ /example /new /new-example /new/example]; refused root write [/ /new /new-example /new/example]"},
	} {
		got := make(map[string][]string)
		for _, change := range Compare(before, c.now, nil, nil).Changes {
			cause := change.Now + " " + change.User + " " + change.Access
			got[cause] = append(got[cause], change.Keys...)
			slices.Sort(got[cause])
		}
		var text []string
		for _, cause := range slices.Sorted(maps.Keys(got)) {
			text = append(text, fmt.Sprint(cause, " ", got[cause]))
		}
		if got := strings.Join(text, "; "); got != c.want {
			t.Errorf("%s, compared without keys: got %q, want %q", c.what, got, c.want)
		}
	}
}

func TestADiffReportsSurfaces(t *testing.T) {
	before, after := table(t), table(t)
	v3, ok := gate.ParseSurface("v3")
	if !ok {
		t.Fatal("there is no surface v3")
	}
	after.Surfaces[v3] = acl.Only("root")
	got := Compare(before, after, nil, nil)
	if got.Changed == 0 {
		t.Fatal("opening a surface: got no change")
	}
	for _, c := range got.Changes {
		if c.Surface != "v3" || c.User != "root" || c.Now != "allowed" || c.Keys != nil {
			t.Errorf("got the change %+v, want only that root is allowed the surface v3", c)
		}
	}
}

// TestARunningProxyAnswersLikeItsPolicy goes through HTTP and back for each question.
func TestARunningProxyAnswersLikeItsPolicy(t *testing.T) {
	s := table(t)
	mux := http.NewServeMux()
	mux.Handle("/-/explain", Handler(func() *gate.Policy { return s }))
	server := httptest.NewServer(mux)
	defer http.DefaultClient.CloseIdleConnections()
	defer server.Close()
	running := Running(server.URL)
	ctx := t.Context()
	check := func(what string, got, want any, err error) {
		t.Helper()
		gotJSON, _ := json.Marshal(got)
		wantJSON, _ := json.Marshal(want)
		if err != nil || string(gotJSON) != string(wantJSON) {
			t.Errorf("%s: got %s (%v), want %s", what, gotJSON, err, wantJSON)
		}
	}
	explanation, err := running.Explain(ctx, "PUT", "/a/x", "bob")
	check("explain", explanation, s.Explain("PUT", "/a/x", "bob"), err)
	who, err := running.Who(ctx, "/v2/keys/a/")
	check("who", who, WhoMay(s, "/a"), err)
	what, err := running.What(ctx, "")
	check("what", what, WhatMay(s, ""), err)
	tab, err := running.Table(ctx)
	check("table", tab, TableOf(s), err)
	if err != nil {
		return
	}
	again, err := tab.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	if diff := Compare(s, again, []acl.Key{"/", "/a", "/a/secret", "/a/x", "/open", "/other"}, nil); diff.Changed != 0 {
		t.Errorf("a table that went through JSON: got %d different decisions, want none", diff.Changed)
	}
}

func TestARunningProxyThatCannotAnswerIsReported(t *testing.T) {
	s := table(t)
	explainer := Handler(func() *gate.Policy { return s })
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Query().Get("user") {
		case "malformed":
			_, _ = w.Write([]byte("<html>"))
		case "missing":
			http.NotFound(w, r)
		default:
			explainer.ServeHTTP(w, r)
		}
	}))
	defer http.DefaultClient.CloseIdleConnections()
	defer server.Close()
	ctx := context.Background()
	_, malformed := Running(server.URL).Explain(ctx, "GET", "/", "malformed")
	_, missing := Running(server.URL).Explain(ctx, "GET", "/", "missing")
	_, badKey := Running(server.URL).Who(ctx, "/a//b")
	_, noURL := Running("127.0.0.1:4002").Table(ctx)
	_, withPath := Running(server.URL + "/metrics").Table(ctx)
	_, refused := Running("http://127.0.0.1:1").Table(ctx)
	for want, err := range map[string]error{
		"reading the response of the running proxy": malformed,
		"it answers 404": missing,
		`the running proxy refuses the request: key "`: badKey,
		"--running: it is not a valid admin URL":       noURL,
		"is not a valid admin URL (hint: ":             withPath,
		"connection refused (hint: --running must be":  refused,
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}

func TestAHandlerRefusesUnknownParameters(t *testing.T) {
	handler := Handler(func() *gate.Policy { return table(t) })
	for query, want := range map[string]int{
		"": 200, "?who=/a": 200, "?what=": 200, "?method=GET&target=/": 200, "?method=GET&target=/&user=u": 200,
		"?who=/a&who=/b": 400, "?who=/a&what=u": 400, "?method=GET": 400, "?other=1": 400, "?%zz": 400, "?who=/a//b": 400,
	} {
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/-/explain"+query, nil))
		if w.Code != want {
			t.Errorf("query %q: got status %d and %s, want %d", query, w.Code, w.Body, want)
		}
	}
}

func TestKeysAreReadWithTheirParents(t *testing.T) {
	keys, invalid, err := ReadKeys(strings.NewReader("/a/b/c\n\n/a/b/\n/x//y\n/x//y\n"), "f")
	if want := []acl.Key{"/", "/a", "/a/b", "/a/b/c"}; err != nil || !reflect.DeepEqual(keys, want) || !reflect.DeepEqual(invalid, []string{"/x//y"}) {
		t.Errorf("got %v, invalid %v (%v); want %v and /x//y once", keys, invalid, err, want)
	}
	if _, _, err := ReadKeys(strings.NewReader("/a\nb\n"), "f"); err == nil || !strings.Contains(err.Error(), "f:2: the line does not begin with a slash") {
		t.Errorf("a line without a slash: got %v, want its name and number", err)
	}
}

func TestKeysThatMayNotBeListedNeedALogin(t *testing.T) {
	var refusal client.Error
	if err := json.Unmarshal([]byte(gate.RefuseIdentity.Body), &refusal); err != nil {
		t.Fatal(err)
	}
	for want, err := range map[string]error{
		"give --username and --password-file": fmt.Errorf("wrapped: %w", refusal),
		"--endpoints must be client URLs":     errors.New("no etcd"),
	} {
		if got := ListingHint(err); !strings.HasPrefix(got, want) {
			t.Errorf("the hint for %v: got %q, want %q", err, got, want)
		}
	}
}

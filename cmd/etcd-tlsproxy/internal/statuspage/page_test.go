package statuspage

import (
	"encoding/json"
	"html"
	"math"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"etcd-tlsproxy/proxy/observe"
)

// hostile is a key that attacks the browser of a reader.
const hostile = `/<script>document.title="hacked"</script><img src=x onerror="document.title='hacked'">{{.}}&lt;'"` + "\u2028`${1}`"

// example returns a status with a value in every place. It is the same each time.
func example() *Status {
	at := time.Now().Add(-time.Minute).UTC()
	s := &Status{
		Host: "conf1001.example.org", Version: "v1.2.3", Go: "go1.26", Listen: []string{"192.0.2.1:4001", "[2001:db8::1]:4001"}, Started: at.Add(-50 * time.Hour),
		Config: Config{File: "/etc/etcd-tlsproxy/etcd-tlsproxy.toml", Loaded: at.Add(-time.Hour), Tried: at, Error: "etcd-tlsproxy.toml:3: " + hostile, Old: []string{"users, rules and surfaces"}, RestartPending: []string{"limits.watches is 7, and 8 after a restart"}, Warnings: []string{"one", "two"}},
		Status: &observe.Status{
			State:       "serving",
			Totals:      observe.Totals{Reads: 1234567, Writes: 999, Refused: 1000},
			Connections: observe.Connections{Open: 12345, Limit: 20000},
			Watches:     observe.WatchStatus{Running: 3, Hubs: 1, Largest: []observe.Hub{{Key: hostile, Recursive: true, Watchers: 3, Index: 1 << 40}}},
			Sharing:     observe.Sharing{Reads: 77, ReadsPercent: 12.25, WatchersPerHub: 2.5},
			Upstream: observe.Upstream{Leader: "conf1002", LeaderID: "2", Since: at, Endpoints: []observe.EndpointStatus{
				{Endpoint: "http://127.0.0.1:2379", Health: "up", Role: "follower", Name: hostile, Version: "3.4.23", Took: .994, Checked: at},
				{Endpoint: "http://127.0.0.1:2380", Health: "no leader", Took: 999.4999, Error: hostile, Checked: at, Since: at.Add(-time.Hour)},
			}},
			Shadows: []observe.ShadowStatus{{Prefix: "rehearsal", Reason: hostile, Index: 77, ComparedReads: 5, Skipped: 1, Differing: 2, LastDifference: at,
				SkippedBy: []observe.ShadowCount{{Of: "late", Answers: 1}}, DifferingBy: []observe.ShadowCount{{Of: "value", Answers: 2}},
				First: []observe.ShadowDifference{{Time: at, Kind: "value", Method: "GET", Key: hostile, What: hostile}}}},
			Stores: []observe.StoreStatus{
				{Endpoint: "http://127.0.0.1:2379", Serving: true, Revision: 1234567, Index: 1234000, Session: true, Keeper: true, Nodes: 5000, Bytes: 7 << 20, LastAudit: at,
					KeeperName: "conf1001.example.org", KeeperSince: at.Add(-time.Hour), Expired: 4711, Compacted: 1214567, CompactedAt: at,
					FileBytes: 1900 << 20, UsedBytes: 90 << 20, QuotaBytes: 2 << 30, QuotaPercent: 92.7734375, Alarm: "none"},
				{Endpoint: hostile, Reason: hostile, Behind: 75, Foreign: 3, Differences: 1, ClocksApart: 2, LostUnknown: 6,
					KeeperName: hostile, Late: 95, NotCompactedSince: at, Difference: hostile, Differed: at, Alarm: "no space"},
			},
			Writers: []observe.WriterStatus{{Account: "conftool from 192.0.2.0/24", Network: "192.0.2.0/24", Bytes: 77 << 20}, {Account: hostile, Network: "2001:db8::/48", Bytes: 1}},
			Rules: []observe.RuleStatus{
				{Prefix: "/", Read: observe.GroupStatus{Everyone: true}, Decisions: observe.Decisions{WritesAllowed: 5, WritesRefused: 3}},
				{Prefix: hostile, Read: observe.GroupStatus{Users: []string{"a", "b"}, LeftOut: 1001}, Write: observe.GroupStatus{Users: []string{hostile}}},
			},
			Users: []observe.UserStatus{{Known: "anonymous"}, {User: hostile, Known: "certificate"}, {Known: "certificate", Others: true}},
			Refusals: []observe.RefusalStatus{
				{Time: at, First: at, Times: 2, Client: "192.0.2.7", User: hostile, Method: "PUT", Key: hostile, Path: "/v2/keys/x", Rule: hostile, Status: 401, Reason: "unauthorized", Login: "ok"},
				{Time: at, First: at, Times: 1, Client: "192.0.2.8", Method: "PUT", Key: "/a", Rule: "/", Status: 401, Reason: "unauthorized", Login: "wrong_password", Claimed: "conftool"},
				{Time: at, First: at, Times: 1, Client: "2001:db8::7", Method: "other", Status: 400, Reason: "bad_target"},
			},
			Limits:       []observe.LimitStatus{near(100, 950)[0], observe.NewLimitStatus("connections", "", 12345, 20000), observe.NewLimitStatus("body_memory", "bytes", 120<<20, 128<<20)},
			Certificates: []observe.CertificateStatus{{Role: "server", Subject: "CN=" + hostile, NotAfter: at.Add(100 * time.Hour), Seconds: 359999}, {Role: "client_ca", Seconds: -1}},
			Logs:         []observe.LogStatus{{Log: "access"}, {Log: "audit", On: true, Failing: true, Lost: 12, Since: at, Error: "no space left on device"}},
			Memory:       observe.MemoryStatus{Live: 10433332, Limit: 1 << 30, Level: "short", Goroutines: 1000, Held: 5 << 20, Largest: []observe.PoolHolder{{Account: hostile, Network: "192.0.2.0/24", Used: 4 << 20, Known: true}}},
			Pools: []observe.PoolStatus{
				{Pool: "connections", Total: 20000, Used: 17000, Largest: []observe.PoolHolder{{Account: "192.0.2.7", Network: "192.0.2.0/24", Used: 16000}, {Account: "192.0.2.8", Used: 500}, {Account: "192.0.2.9", Used: 400}, {Account: "192.0.2.10", Used: 100}}},
				{Pool: "bodies", Unit: "bytes", Total: 128 << 20, Used: 3 << 20, Largest: []observe.PoolHolder{{Account: hostile, Network: "192.0.2.0/24", Used: 2 << 20}}},
				{Pool: "streams", Unit: "bytes", Total: 256 << 20},
			},
		},
	}
	for i := range 3 {
		w := observe.Window{Seconds: math.Pow(10, float64(i+1)), ReadP50: .25, ReadP99: 12.5, WriteP50: 9.95, WriteP99: 1250, EtcdReadP99: 123, EtcdWriteP99: 1249}
		w.Reads, w.Writes, w.Failed, w.Bytes = 1234.5, 9.949, .05, 1048575
		s.Windows = append(s.Windows, w)
	}
	for i := range 60 {
		s.History.Times = append(s.History.Times, at.Add(time.Duration(i)*2*time.Second))
		v := observe.Float(100 + 50*math.Sin(float64(i)/5))
		if i == 30 {
			v = observe.Float(math.NaN())
		}
		h := &s.History
		for _, curve := range []*[]observe.Float{&h.Reads, &h.Writes, &h.Refused, &h.Failed, &h.ReadP50, &h.ReadP99, &h.WriteP99} {
			*curve = append(*curve, v)
			v /= 2
		}
		s.History.Watches, s.History.Connections = append(s.History.Watches, int64(i)), append(s.History.Connections, 2*int64(i))
	}
	return s
}

func newTestPage(t *testing.T, read func() *Status) *httptest.Server {
	t.Helper()
	page := New(Options{Read: read, KnownHost: func(name string) bool { return name == "conf1001.example.org" }})
	mux := http.NewServeMux()
	mux.Handle("/-/status", page.HTML())
	mux.Handle("/-/status.json", page.JSON())
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	return server
}

func get(t *testing.T, page *httptest.Server, path string, change func(*http.Request)) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequest("GET", "http://localhost"+path, nil)
	if change != nil {
		change(r)
	}
	w := httptest.NewRecorder()
	page.Config.Handler.ServeHTTP(w, r)
	return w
}

func TestThePageIsWholeWithoutJavaScript(t *testing.T) {
	body := get(t, newTestPage(t, example), "/-/status", nil).Body.String()
	for _, want := range []string{
		">1,235</span>", ">conf1001.example.org<", ">192.0.2.1:4001, [2001:db8::1]:4001<", `data-mood="bad">no leader</td>`, ">follower</td>", `data-mood="warn">3</td>`,
		">a, b and 1,001 more</td>", ">everyone</td>", ">no one</td>", ">other certificates</td>", ">anonymous</td>", ">(unreadable)</td>", ">401 unauthorized: no right</td>", ">401 unauthorized: wrong password</td>", ">conftool (claimed)</td>", ">0.99 ms</td>",
		">no, see what is in force as before</span>", "The audit log cannot be written since", "etcd at http://127.0.0.1:2380 was first found not to be up at 20", "etcd has not answered every request since 20", ">no space left on device</td>", `data-mood="warn">12</td>`, "In force as before: users, rules and surfaces; the rest was applied. The reason: etcd-tlsproxy.toml:3: ", "waits for a restart, which fails while the configuration on disk has a mistake: limits.watches is 7, and 8 after a restart.", "has expired.", "expires in 4 days.", ">10 MiB</span>", ">2 days</span>",
		">12,345</td>", ">62 %</td>", `data-mood="warn">94 %</td>`, ">128 MiB</td>", "The limit body_memory is near: 120 MiB of 128 MiB are in use.",
		">192.0.2.7: 16,000; 192.0.2.8: 500; 192.0.2.9: 400</td>", ": 2.0 MiB</td>", `data-mood="warn">85 %</td>`, ">2.3 %</td>",
		"<h2>v3 store</h2>", "<h2>Expiry and compaction of the v3 store</h2>", ">conf1001.example.org</td>", ">4,711</td>", ">1,214,567</td>", `data-as="age" data-label="Late by">1 min</td>`,
		"<h2>Space of the v3 store</h2>", ">1.9 GiB</td>", ">90 MiB</td>", ">2.0 GiB</td>", `data-mood="warn">93 %</td>`, `data-mood="bad">no space</td>`, ">none</td>",
		"<h2>Wrote most to the v3 store</h2>", ">conftool from 192.0.2.0/24</td>", ">77 MiB</td>", "etcd has no space left: ", `data-mood="good">yes</td>`, ">1,234,567</td>", ">1,234,000</td>", `data-mood="warn">1 min</td>`, ">7.0 MiB</td>", "Keys are not served from the v3 store: ", "differ from the clock of this one: 2.", ">256 MiB</td>", ">4.0 MiB</td>", "Little memory is left: reads of clients that hold more than their share are refused.",
	} {
		if !strings.Contains(body, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	if text := html.UnescapeString(body); !strings.Contains(text, hostile) {
		t.Error("the page does not show the hostile key unchanged")
	}
	for _, bad := range []string{"<script>document", "<img", "onerror=\""} {
		if strings.Contains(body, bad) {
			t.Errorf("the page contains %q", bad)
		}
	}
	if n := strings.Count(body, "<script"); n != 1 {
		t.Errorf("got %d scripts, want 1", n)
	}
}

func TestAStoreIsShownWhereThereIsOne(t *testing.T) {
	page := newTestPage(t, func() *Status {
		s := example()
		s.Stores, s.Writers = nil, nil
		return s
	})
	without, with := get(t, page, "/-/status", nil).Body.String(), get(t, newTestPage(t, example), "/-/status", nil).Body.String()
	for _, title := range []string{"v3 store", "Expiry and compaction of the v3 store", "Space of the v3 store", "Wrote most to the v3 store"} {
		if !strings.Contains(without, "data-optional hidden>\n<h2>"+title+"</h2>") {
			t.Errorf("the page of a proxy with the v2 API shows the empty table %q", title)
		}
		if !strings.Contains(with, "data-optional>\n<h2>"+title+"</h2>") {
			t.Errorf("the page of a proxy with the v3 API hides the table %q", title)
		}
	}
}

func TestNoListInTheJSONIsNull(t *testing.T) {
	body := get(t, newTestPage(t, func() *Status {
		return &Status{Status: &observe.Status{Pools: []observe.PoolStatus{{Pool: "connections"}}, Rules: []observe.RuleStatus{{Prefix: "/"}}}}
	}), "/-/status.json", nil).Body.String()
	for _, want := range []string{`"warnings":[]`, `"largest":[]`, `"users":[]`, `"left_out":0`, `"refusals":[]`, `"largest_hubs":[]`, `"times":[]`, `"endpoints":[]`} {
		if !strings.Contains(body, want) {
			t.Errorf("the JSON of a status without items lacks %s: %s", want, body)
		}
	}
	if strings.Contains(body, "null") {
		t.Errorf("the JSON of a status without items: got %s, want no null", body)
	}
}

func TestTheJSONHasItsPromisedNames(t *testing.T) {
	w := get(t, newTestPage(t, example), "/-/status.json", nil)
	if w.Code != 200 || w.Header().Get("Content-Type") != "application/json" {
		t.Fatalf("got status %d and headers %v, want 200 and application/json", w.Code, w.Header())
	}
	if strings.ContainsAny(w.Body.String(), "<>\u2028") {
		t.Error("the JSON contains characters that a browser could read as markup")
	}
	var root any
	if err := json.Unmarshal(w.Body.Bytes(), &root); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{
		"time", "host", "version", "listen.0", "started", "uptime_seconds", "problems.0", "config.file", "config.loaded", "config.tried", "config.error", "config.old.0", "config.restart_pending.0",
		"state", "totals.reads", "windows.2.write_p99_ms", "history.read_p50_ms.59", "history.times.0", "connections.open", "watches.running", "watches.largest_hubs.0.key",
		"sharing.reads_saved", "upstream.leader", "upstream.endpoints.1.health", "rules.1.read.users.0", "rules.0.writes_refused", "users.1.user", "refusals.0.key", "refusals.0.times", "stores.0.revision", "stores.1.reason", "stores.0.keeper_name", "stores.0.keeper_since", "stores.0.quota_bytes", "stores.0.alarm",
		"stores.0.compacted_revision", "stores.1.difference", "stores.1.lost_unknown", "stores.1.barrier_waits", "writers.0.account", "writers.0.bytes",
		"shadows.0.reason", "shadows.0.skipped_by.0.of", "shadows.0.differing_by.0.answers", "shadows.0.first.0.what",
		"certificates.0.not_after", "memory.live_bytes", "memory.held_bytes", "memory.taken_bytes", "memory.largest.0.account", "pools.1.unit", "pools.1.largest.0.used",
	} {
		if v := valueAt(root, path); v == nil || v == "" {
			t.Errorf("the JSON lacks %s", path)
		}
	}
}

func TestNoOtherSiteMayReadIt(t *testing.T) {
	page := newTestPage(t, example)
	for _, path := range []string{"/-/status", "/-/status.json"} {
		for host, want := range map[string]int{
			"localhost:4002": 200, "127.0.0.1": 200, "[::1]:4002": 200, "192.0.2.1:4002": 200, "CONF1001.example.org.:4002": 200,
			"rebound.example.net:4002": 421, "localhost.example.net": 421, "127.0.0.1.example.net": 421, "": 421,
		} {
			if w := get(t, page, path, func(r *http.Request) { r.Host = host }); w.Code != want {
				t.Errorf("%s of host %q: got status %d, want %d", path, host, w.Code, want)
			}
		}
		for fetch, want := range map[string]int{"same-origin cors": 200, "none navigate": 200, "cross-site navigate": 200, "cross-site no-cors": 403, "same-site cors": 403, "cross-site ": 403} {
			site, mode, _ := strings.Cut(fetch, " ")
			w := get(t, page, path, func(r *http.Request) {
				r.Header.Set("Sec-Fetch-Site", site)
				r.Header.Set("Sec-Fetch-Mode", mode)
			})
			if w.Code != want {
				t.Errorf("%s for %q: got status %d, want %d", path, fetch, w.Code, want)
			}
		}
		h := get(t, page, path, nil).Header()
		for name, want := range map[string]string{
			"X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY", "Referrer-Policy": "no-referrer", "Cache-Control": "no-store",
			"Cross-Origin-Resource-Policy": "same-origin", "Cross-Origin-Opener-Policy": "same-origin",
		} {
			if h.Get(name) != want {
				t.Errorf("%s: %s: got %q, want %q", path, name, h.Get(name), want)
			}
		}
		policy := h.Get("Content-Security-Policy")
		if !strings.HasPrefix(policy, "default-src 'none';") || !strings.Contains(policy, "frame-ancestors 'none'") ||
			strings.Contains(policy, "unsafe") {
			t.Errorf("%s: got the policy %q, want one that denies by default, framing too, and allows nothing unsafe", path, policy)
		}
	}
}

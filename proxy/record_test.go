package proxy_test

import (
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"testing"

	"etcd-tlsproxy/proxy"
	"etcd-tlsproxy/proxy/lane"
	"etcd-tlsproxy/proxy/proxytest"
	"etcd-tlsproxy/proxy/proxytest/fronttest"
)

// entries returns the entries of the audit log when there are as many as wanted.
func entries(t *testing.T, f *fronttest.Front, want int) []map[string]any {
	t.Helper()
	// An entry is written after the answer was sent, and those of equal refusals later.
	fronttest.Eventually(t, "every request has its entry", func() bool {
		f.Records().Flush()
		return f.Audit.Lines() >= want
	})
	var list []map[string]any
	for line := range strings.SplitSeq(strings.TrimSpace(f.Audit.String()), "\n") {
		var entry map[string]any
		if err := json.Unmarshal([]byte(line), &entry); err != nil {
			t.Fatalf("decoding the audit line %s: %v", line, err)
		}
		list = append(list, entry)
	}
	if len(list) != want {
		t.Errorf("got %d audit entries, want %d: %v", len(list), want, list)
	}
	return list
}

func TestEachWriteAndEachRefusalLeavesOneAuditLine(t *testing.T) {
	t.Parallel()
	fronttest.EachLane(t, func(t *testing.T, l fronttest.Lane) {
		f, _ := l.Embedded(t, nil)
		client := f.Client("h1")
		fronttest.Do(t, client, "GET", f.URL()+"/v2/keys?recursive=true", "root", "")
		fronttest.Do(t, client, "PUT", f.URL()+"/v2/keys/conftool/a?prevValue=hunter2", "conftool", "value=hunter2")
		fronttest.Do(t, client, "PUT", f.URL()+"/v2/keys/b", "conftool", "value=hunter2")
		fronttest.Do(t, client, "DELETE", f.URL()+"/v2/keys/eventlogging/hunter", "nobody", "")
		fronttest.Do(t, client, "POST", f.URL()+"/v2/members", "root", "")
		got := entries(t, f, 4)
		for i, want := range []map[string]any{
			{"verdict": "allowed", "user": "conftool", "known": "password", "login": "ok", "claimed": "", "method": "PUT", "surface": "keys", "key": "/conftool/a", "rule": "/conftool", "status": 404.0},
			{"verdict": "unauthorized", "user": "conftool", "known": "password", "login": "ok", "method": "PUT", "key": "/b", "rule": "/", "status": 401.0},
			{"verdict": "allowed", "user": "-", "known": "anonymous", "login": "not_needed", "method": "DELETE", "key": "/eventlogging/hunter", "rule": "/eventlogging", "status": 404.0},
			{"verdict": "closed_surface", "user": "-", "method": "POST", "surface": "members", "path": "/v2/members", "status": 403.0},
		} {
			for key, value := range want {
				if got[i][key] != value {
					t.Errorf("audit entry %d: %s: got %v, want %v", i, key, got[i][key], value)
				}
			}
			if from, _ := got[i]["from"].(string); !strings.HasPrefix(from, "127.0.0.1:") {
				t.Errorf("audit entry %d: from: got %q, want a port of 127.0.0.1", i, from)
			}
		}
	})
}

func TestEveryLogSaysWhyAClientWasNotIdentified(t *testing.T) {
	t.Parallel()
	fronttest.EachLane(t, func(t *testing.T, l fronttest.Lane) {
		f := l.FrontWith(t, fronttest.StandIn(t, http.NotFound), func(o *proxy.Options) { o.Observer.Records.JSON.Store(true) }, nil)
		basic := func(pair string) string { return "Basic " + base64.StdEncoding.EncodeToString([]byte(pair)) }
		cases := []struct{ authorization, login, claimed string }{
			{"", "no_credentials", ""},
			{"Bearer secret", "other_scheme", ""},
			{"Basic !", "malformed_credentials", ""},
			{basic("hunter2:x"), "unknown_user", ""},
			{basic("conftool:wrong"), "wrong_password", "conftool"},
		}
		for i, c := range cases {
			header := ""
			if c.authorization != "" {
				header = "Authorization: " + c.authorization + "\r\n"
			}
			f.Exchange("PUT /v2/keys/conftool/a HTTP/1.1\r\nHost: h\r\n" + header + "Content-Length: 0\r\n\r\n")
			fronttest.Eventually(t, "the request has its line", func() bool { return f.Audit.Lines() == i+1 && f.Access.Lines() == i+1 })
		}
		audit := entries(t, f, len(cases))
		access := strings.Split(f.Access.String(), "\n")
		for i, c := range cases {
			var line map[string]any
			if err := json.Unmarshal([]byte(access[i]), &line); err != nil {
				t.Fatal(err)
			}
			for log, entry := range map[string]map[string]any{"audit": audit[i], "access": line} {
				if entry["login"] != c.login || entry["claimed"] != c.claimed || entry["user"] != "-" {
					t.Errorf("%s log of a write with the credentials %q: got the login %v and the names %v and %v, want %s, %q and -",
						log, c.authorization, entry["login"], entry["claimed"], entry["user"], c.login, c.claimed)
				}
			}
		}
	})
}

func TestARequestHasOneIDEverywhere(t *testing.T) {
	t.Parallel()
	fronttest.EachLane(t, func(t *testing.T, l fronttest.Lane) {
		f := l.FrontWith(t, fronttest.StandIn(t, func(w http.ResponseWriter, r *http.Request) {
			if id := r.Header.Get("X-Request-Id"); id != "" {
				t.Errorf("etcd received the id %q, want none", id)
			}
			w.WriteHeader(http.StatusCreated)
		}), func(o *proxy.Options) { o.Observer.Records.JSON.Store(true) }, nil)
		long := strings.Repeat("a", 64)
		made := regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-z]+$`)
		for i, c := range []struct {
			key, field string
			status     int
			want       string // "" for none in the answer, "made" for one that the proxy makes
		}{
			{"eventlogging/a", "", 201, ""},
			{"eventlogging/a", "A-z.0_9", 201, "A-z.0_9"},
			{"eventlogging/a", long, 201, long},
			{"eventlogging/a", long + "a", 201, ""},
			{"eventlogging/a", "a b", 201, ""},
			{"eventlogging/a", "hunter\"2", 201, ""},
			{"conftool/a", "", 401, "made"},
			{"conftool/b", "mine", 401, "mine"},
			{"conftool/c", "hunter\"2", 401, "made"},
		} {
			header := ""
			if c.field != "" {
				header = "x-request-id: " + c.field + "\r\n"
			}
			a := f.Exchange("PUT /v2/keys/" + c.key + " HTTP/1.1\r\nHost: h\r\n" + header + "Content-Length: 0\r\n\r\n")
			got, _ := a.Field("X-Request-Id")
			if a.Status != c.status || c.want == "made" && !made.MatchString(got) || c.want != "made" && got != c.want || strings.Contains(a.Body, "mine") {
				t.Errorf("a write of %s with the id %q: got status %d with the id %q, want %d and %q", c.key, c.field, a.Status, got, c.status, c.want)
			}
			audit := entries(t, f, i+1)[i]
			fronttest.Eventually(t, "the request has its line", func() bool { return f.Access.Lines() == i+1 })
			var access map[string]any
			if err := json.Unmarshal([]byte(strings.Split(f.Access.String(), "\n")[i]), &access); err != nil {
				t.Fatal(err)
			}
			id, _ := access["id"].(string)
			if id != audit["id"] || got != "" && id != got || got == "" && !made.MatchString(id) {
				t.Errorf("a write of %s with the id %q: got the ids %q in the access log, %v in the audit log and %q in the answer, want one id", c.key, c.field, id, audit["id"], got)
			}
			if c.status == 201 && (access["verdict"] != "allowed" || access["rule"] != "/eventlogging" || access["upstream_seconds"].(float64) <= 0 || access["shared"] != false) ||
				c.status == 401 && (access["verdict"] != "unauthorized" || access["rule"] != "/conftool" || access["upstream_seconds"] != 0.0) {
				t.Errorf("the access log of a write of %s: got %v, want its verdict, its rule, and the time at etcd only if it was allowed", c.key, access)
			}
		}
	})
}

func TestTheAccessLogSaysWhatARequestWaitedFor(t *testing.T) {
	t.Parallel()
	fronttest.EachLane(t, func(t *testing.T, l fronttest.Lane) {
		f := l.FrontWith(t, fronttest.StandIn(t, func(http.ResponseWriter, *http.Request) {}), func(o *proxy.Options) { o.Observer.Records.JSON.Store(true) }, nil)
		fronttest.Do(t, f.Client("h1"), "PUT", f.URL()+"/v2/keys/conftool/a", "conftool", "value=1")
		fronttest.Eventually(t, "the request has its line", func() bool { return f.Access.Lines() == 1 })
		var line struct {
			Seconds  float64 `json:"seconds"`
			Login    float64 `json:"login_seconds"`
			Upstream float64 `json:"upstream_seconds"`
			Turn     float64 `json:"turn_seconds"`
		}
		if err := json.Unmarshal([]byte(f.Access.String()), &line); err != nil {
			t.Fatal(err)
		}
		if line.Login <= 0 || line.Upstream <= 0 || line.Turn != 0 || line.Login+line.Upstream > line.Seconds {
			t.Errorf("a write with a password: got %+v, want times of the login and of etcd whose sum is at most the whole, and no wait for a turn", line)
		}
	})
}

func TestTheAccessLogSaysWhichReadsWereShared(t *testing.T) {
	t.Parallel()
	fronttest.EachLane(t, func(t *testing.T, l fronttest.Lane) {
		f := l.FrontWith(t, fronttest.StandIn(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "{}") }),
			func(o *proxy.Options) { o.Observer.Records.JSON.Store(true) }, nil)
		readers := 0
		for f.Metrics.SharedReads.Load() == 0 { // nearly always one round
			var round sync.WaitGroup
			for range 16 {
				readers++
				round.Go(func() {
					if a := f.Exchange("GET /v2/keys/a HTTP/1.1\r\nHost: h\r\n\r\n"); a.Status != 200 {
						t.Errorf("a read: got status %d, want 200", a.Status)
					}
				})
			}
			round.Wait()
		}
		fronttest.Eventually(t, "each read has its line", func() bool { return f.Access.Lines() == readers })
		// The metric does not count one read of each request that answered several.
		if got, saved := uint64(strings.Count(f.Access.String(), `"shared":true`)), f.Metrics.SharedReads.Load(); got <= saved || got > 2*saved {
			t.Errorf("lines of shared reads: got %d, want more than the %d requests that were saved, and at most twice as many; the log:\n%s", got, saved, f.Access)
		}
	})
}

func TestSecretsReachNoLogAndNoMetric(t *testing.T) {
	t.Parallel()
	fronttest.EachLane(t, func(t *testing.T, l fronttest.Lane) {
		f, _ := l.Embedded(t, nil)
		client := f.Client("h1")
		for _, url := range []string{"/v2/keys/conftool/a?value=hunter2", "/v2/keys/conftool/a?hunter2", "/v2/keys/b?prevValue=hunter2", "/hunter%zz2"} {
			for _, user := range []string{"conftool", "hunter2"} {
				a := f.Exchange("PUT " + url + " HTTP/1.1\r\nHost: h\r\nAuthorization: " + fronttest.Basic(user) + "\r\nReferer: http://h/?hunter2\r\nContent-Length: 0\r\n\r\n")
				if strings.Contains(a.Body, "hunter") && a.Status != 201 && a.Status != 200 {
					t.Errorf("writing %s by %s: the refusal repeats the secret: %s", url, user, a.Body)
				}
			}
		}
		fronttest.Do(t, client, "GET", f.URL()+"/v2/keys/conftool/a", "hunter2", "")
		entries(t, f, 8)
		families, err := f.Metrics.Registry.Gather()
		if err != nil {
			t.Fatal(err)
		}
		metrics := ""
		for _, family := range families {
			metrics += family.String()
		}
		for where, text := range map[string]string{"audit": f.Audit.String(), "access": f.Access.String(), "metrics": metrics} {
			for _, secret := range []string{"hunter2", "conftool-pw", fronttest.Basic("conftool")[6:]} {
				if strings.Contains(text, secret) {
					t.Errorf("%s: got the secret %q in\n%s", where, secret, text)
				}
			}
		}
		if !strings.Contains(metrics, "etcd_tlsproxy_requests_total") {
			t.Error("the gathered metrics have no requests_total, so the search for secrets proves nothing")
		}
	})
}

func TestTheAccessLogIsNginxsCombinedFormat(t *testing.T) {
	t.Parallel()
	fronttest.EachLane(t, func(t *testing.T, l fronttest.Lane) {
		f := l.Front(t, fronttest.StandIn(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "12345") }), nil)
		for i, request := range []string{
			"GET /v2/keys/a%20b?wait=false&secret=x HTTP/1.1\r\nHost: h\r\nUser-Agent: a\"b\\c\xe9\r\n\r\n",
			"PUT /v2/keys/conftool/a HTTP/1.1\r\nHost: h\r\nAuthorization: " + fronttest.Basic("conftool") + "\r\nContent-Length: 0\r\n\r\n",
			"nonsense\r\n\r\n",
		} {
			f.Exchange(request)
			fronttest.Eventually(t, "its line is written", func() bool { return f.Access.Lines() == i+1 })
		}
		got := strings.Split(f.Access.String(), "\n")
		for i, want := range [][2]string{
			{"127.0.0.1 - - [", `] "GET /v2/keys/a%20b?wait=false&secret=- HTTP/1.1" 200 5 "-" "a\x22b\x5Cc\xE9"`},
			{"127.0.0.1 - conftool [", `] "PUT /v2/keys/conftool/a HTTP/1.1" 200 5 "-" "-"`},
			{"127.0.0.1 - - [", `] "other - HTTP/1.1" 400 `},
		} {
			if !strings.HasPrefix(got[i], want[0]) || !strings.Contains(got[i], want[1]) {
				t.Errorf("line %d of the access log: got %s\nwant %s...%s", i, got[i], want[0], want[1])
			}
		}
	})
}

func TestAnEtcdThatIsAwayIsOneLineOfTheLog(t *testing.T) {
	t.Parallel()
	fronttest.EachLane(t, func(t *testing.T, l fronttest.Lane) {
		ln := fronttest.Listen(t)
		endpoint := "http://" + ln.Addr().String()
		ln.Close()
		f := l.Front(t, endpoint, nil)
		for range 20 {
			if a := f.Exchange("GET /v2/keys/a HTTP/1.1\r\nHost: h\r\n\r\n"); a.Status != 503 {
				t.Errorf("a read without an etcd: got status %d, want 503", a.Status)
			}
		}
		if got := strings.Count(f.Log.String(), "etcd did not answer"); got != 1 {
			t.Errorf("lines about an etcd that is away: got %d, want 1:\n%s", got, f.Log)
		}
	})
}

func TestMetricsHaveClosedLabels(t *testing.T) {
	t.Parallel()
	fronttest.EachLane(t, func(t *testing.T, l fronttest.Lane) {
		f, _ := l.Embedded(t, func(s *lane.Snapshot, _ *proxytest.PKI) { s.ReadOnly = true })
		client := f.Client("h1")
		series := func() (n int) {
			families, err := f.Metrics.Registry.Gather()
			if err != nil {
				t.Fatal(err)
			}
			for _, family := range families {
				if strings.HasPrefix(family.GetName(), "etcd_tlsproxy_") {
					n += len(family.Metric)
				}
			}
			return n
		}
		touch := func(suffix string) {
			for _, method := range []string{"GET", "PUT", "FOO" + suffix, "BAR" + suffix} {
				fronttest.Do(t, client, method, f.URL()+"/v2/keys/"+suffix, suffix, "")
				fronttest.Do(t, client, method, f.URL()+"/"+suffix, suffix, "")
			}
		}
		touch("a")
		before := series()
		touch("b")
		touch("c")
		if after := series(); after != before {
			t.Errorf("after requests with other names: got %d series, want %d as before", after, before)
		}
	})
}

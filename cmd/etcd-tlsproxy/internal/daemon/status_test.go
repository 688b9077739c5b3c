package daemon_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/daemon/daemontest"
	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/statuspage"
)

func (s *service) status() (status statuspage.Status) {
	s.T.Helper()
	code, body := s.Admin("GET", "/-/status.json")
	if code != 200 {
		s.T.Fatalf("GET /-/status.json: got status %d with %q, want 200", code, body)
	}
	if err := json.Unmarshal([]byte(body), &status); err != nil {
		s.T.Fatal(err)
	}
	return status
}

func TestTheStatusPageTellsOfTheService(t *testing.T) {
	s := newService(t, daemontest.Echo)
	s.Put("conftool", "conftool-1")
	s.Put("conftool", "hunter2")
	var now statuspage.Status
	s.Eventually("both writes are counted", func() bool {
		now = s.status()
		return now.Totals.Writes == 2
	})
	if r := now.Rules[1]; r.Prefix != "/conftool" || r.WritesAllowed != 1 || r.WritesRefused != 1 ||
		strings.Join(r.Write.Users, ",") != "conftool,root" {
		t.Errorf("the rule of /conftool: got %+v, want one write allowed and one refused, for conftool and root", r)
	}
	if r := now.Refusals[0]; r.Rule != "/conftool" || r.User != "" || r.Client != "127.0.0.1" || r.Reason != "unauthorized" || r.Login != "wrong_password" || r.Claimed != "conftool" {
		t.Errorf("the refusal: got %+v, want one of 127.0.0.1 without a verified user, who claimed to be conftool, by the rule of /conftool", r)
	}
	if c := now.Config; !c.OK || c.File != s.Path("etcd-tlsproxy.toml") || c.Error != "" || c.Loaded.IsZero() ||
		!c.ShareReads || !c.FastLane {
		t.Errorf("the configuration: got %+v, want a loaded one of the service's file with its default switches", c)
	}
	if "https://"+now.Listen[0] != s.URL || now.Version == "" || now.State != "serving" ||
		len(now.Certificates) != 1 || now.Memory.Limit == 0 {
		t.Errorf("the service: got %+v, want it serving at %s, with a version, one certificate and a memory limit", now, s.URL)
	}
	if e := now.Upstream.Endpoints[0]; e.Health != "down" || !strings.Contains(e.Error, "the response is not from etcd") || len(now.Problems) == 0 {
		t.Errorf("an endpoint that is not etcd: got %+v and the problems %q, want it down with a problem", e, now.Problems)
	}

	s.Write("etcd-tlsproxy.toml", strings.Replace(s.Read("etcd-tlsproxy.toml"), "[limits]", "[limits]\ndrian = 1", 1))
	s.Admin("POST", "/-/reload")
	after := s.status()
	if c := after.Config; c.OK || !strings.Contains(c.Error, "limits.drian") ||
		!c.Loaded.Equal(now.Config.Loaded) || c.Tried.Before(c.Loaded) {
		t.Errorf("the configuration after a failed reload: got %+v, want the error with limits.drian and the old time of loading", c)
	}
	if after.Rules[1].WritesAllowed != 1 || !strings.Contains(strings.Join(after.Problems, " "), "is not in force as a whole") {
		t.Errorf("after a failed reload: got the rule %+v and the problems %q, want the old counts and a problem", after.Rules[1], after.Problems)
	}

	code, page := s.Admin("GET", "/") // which redirects to the page
	if code != 200 || !strings.Contains(page, "<h1>etcd-tlsproxy</h1>") || !strings.Contains(page, "limits.drian") ||
		!strings.Contains(page, ">conftool, root</td>") {
		t.Errorf("GET /: got status %d, want 200 and a page with the title, the error and the users of the rule:\n%s", code, page)
	}
	for _, secret := range []string{"hunter2", "conftool-1", "$apr1$"} {
		if strings.Contains(page, secret) {
			t.Errorf("the page contains the secret %q", secret)
		}
	}
	if code, _ := s.Admin("POST", "/-/status"); code != 405 {
		t.Errorf("POST /-/status: got status %d, want 405", code)
	}
}

func TestTheStatusTellsSinceWhenEtcdIsAway(t *testing.T) {
	etcd := newStandIn(t, "etcd")
	etcd.Start()
	before := time.Now()
	s := startService(t, fmt.Sprintf(daemontest.SeedConfig, etcd.URL))
	if now := s.status(); !now.Upstream.Since.IsZero() {
		t.Errorf("while etcd answers: got %v, want no time", now.Upstream.Since)
	}
	etcd.Close()
	closed := time.Now()
	if status := s.Put("conftool", "conftool-1"); status != 503 {
		t.Errorf("a write while etcd is away: got status %d, want 503", status)
	}
	now := s.status()
	since := now.Upstream.Since
	if since.Before(before) || since.After(closed) {
		t.Errorf("the beginning: got %v, want a time between the start of the service at %v and the end of etcd at %v", since, before, closed)
	}
	if problems := strings.Join(now.Problems, " "); !strings.Contains(problems, "No etcd is available: none has answered since "+since.Format(time.DateTime)) {
		t.Errorf("the problems: got %q, want the time of the beginning", problems)
	}
}

func TestALostAuditLogIsSeenEverywhere(t *testing.T) {
	t.Parallel()
	if _, err := os.Stat("/dev/full"); err != nil {
		t.Skip("there is no /dev/full")
	}
	etcd := newStandIn(t, "etcd")
	etcd.Start()
	s := startService(t, fmt.Sprintf(daemontest.SeedConfig, etcd.URL)+"[log]\naudit = \"/dev/full\"\naudit_required = true\n")
	s.WaitForMetric(`etcd_tlsproxy_log_records_lost_total{log="audit"} 1`) // the line about the start
	if status := s.Put("conftool", "conftool-1"); status != 503 {
		t.Errorf("a write after the loss: got status %d, want 503", status)
	}
	if problems := strings.Join(s.status().Problems, " "); !strings.Contains(problems, "The audit log cannot be written since") || !strings.Contains(problems, "no space left") {
		t.Errorf("the problems: got %q, want one about the audit log, with the reason", problems)
	}
	if got := strings.Count(s.Log.String(), "records are lost"); got != 1 {
		t.Errorf("lines about lost records in the service log: got %d, want 1:\n%s", got, s.Log)
	}
	s.Write("etcd-tlsproxy.toml", strings.Replace(s.Read("etcd-tlsproxy.toml"), "audit_required = true", "audit_required = false", 1))
	s.Eventually("the requirement is lifted", func() bool { return s.Put("conftool", "conftool-1") == 200 })
}

func TestAnotherClusterBehindTheProxyHasALine(t *testing.T) {
	var id atomic.Int64
	id.Store(1)
	s := newService(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Etcd-Cluster-Id", fmt.Sprint("c", id.Load()))
		w.Header().Set("X-Etcd-Index", "7")
		if r.URL.Query().Has("wait") {
			w.WriteHeader(http.StatusOK)
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done()
		}
	})
	client := &http.Client{Transport: s.Transport()}
	defer client.CloseIdleConnections()
	watch := func(key string) *http.Response {
		t.Helper()
		resp, err := client.Get(s.URL + "/v2/keys/" + key + "?wait=true")
		if err != nil {
			t.Fatal(err)
		}
		return resp
	}
	first := watch("a")
	defer first.Body.Close()
	id.Store(2)
	second := watch("b")
	defer second.Body.Close()
	s.Eventually("the log has both clusters", func() bool {
		return strings.Contains(s.Log.String(), `level=WARN msg="etcd is another cluster now; the watches of the one before have ended" before=c1 now=c2 watches_ended=1`)
	})
	s.WaitForMetric("etcd_tlsproxy_upstream_cluster_changes_total 1")
}

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"reflect"
	"strings"
	"testing"

	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/daemon"
	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/daemon/daemontest"
	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/explain"
	"etcd-tlsproxy/proxy/proxytest"
)

// explainedTable has rules that narrow others, restricted reads and an open surface.
const explainedTable = `"/conftool/locked" = ["conftool"]
"/secret" = { read = ["root", "conftool"], write = ["root"] }
"/secret/shared" = { read = [], write = ["root"] }
[surfaces]
members = ["root"]
`

func TestWhatIsExplainedIsWhatHappensBeforeARealEtcd(t *testing.T) {
	etcd, err := proxytest.StartEmbedded(proxytest.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(etcd.Close)
	config := fmt.Sprintf(daemontest.SeedConfig, etcd.URL()) + explainedTable
	s := daemontest.Start(t, config)
	client := &http.Client{Transport: s.Transport()}
	random := rand.New(rand.NewPCG(1, 2))
	outcomes := map[string]int{}
	for _, first := range []string{"", "match = \"both\"\n", "read_only = true\n"} {
		s.Write("etcd-tlsproxy.toml", first+config)
		if status, body := s.Admin("POST", "/-/reload"); status != 200 {
			t.Fatalf("reload: got status %d with %q, want 200", status, body)
		}
		file, err := daemon.DecisionTable(s.Path("etcd-tlsproxy.toml"))
		if err != nil {
			t.Fatal(err)
		}
		for range 700 {
			user, method, target := randomRequest(random)
			want := file.Explain(method, target, user)
			running, err := explain.Running(s.AdminURL).Explain(context.Background(), method, target, user)
			if err != nil || !reflect.DeepEqual(want, running) {
				t.Fatalf("%s %s by %q: the answer from the file is %+v, that of the running proxy %+v (error %v)", method, target, user, want, running, err)
			}
			status, fromEtcd, cause := send(t, client, method, s.URL+target, user)
			outcomes[fmt.Sprintf("%v %d %s", want.Allowed, want.Status, want.Reason)]++
			asExplained := fromEtcd || method == "OPTIONS" // answers to OPTIONS do not contain the id
			if !want.Allowed {
				asExplained = !fromEtcd && status == want.Status && (method == "HEAD" || cause == want.Cause)
			}
			if !asExplained {
				t.Errorf("%s%s %s by %q: the proxy answered %d %q (from etcd: %v), but explain said %+v", first, method, target, user, status, cause, fromEtcd, want)
			}
		}
	}
	t.Log(outcomes)
	if len(outcomes) < 5 {
		t.Error("the random requests met too few different decisions to test anything")
	}
}

func randomRequest(random *rand.Rand) (user, method, target string) {
	pick := func(from ...string) string { return from[random.IntN(len(from))] }
	target = "/v2/keys"
	if random.IntN(12) == 0 {
		target = pick("/v2/members", "/v2/auth/users", "/v3/kv/put", "/v2/nothing", "/v2/keysX")
	}
	for range random.IntN(4) {
		target += pick("/", "//") + pick("conftool", "conftool", "secret", "eventlogging", "locked", "shared", "x", "conftoolX", "secretly", "a%20b", "%63onftool", "..", "%2e", "0/members/1f/attributes")
	}
	target += pick("", "", "/", "?recursive=true", "?dir=true&recursive=true")
	return pick("", "root", "conftool"), pick("GET", "GET", "HEAD", "PUT", "PUT", "POST", "DELETE", "OPTIONS", "PATCH"), target
}

// send makes a request. etcd's own answers about keys and members have the id of its
// cluster in a header.
func send(t *testing.T, client *http.Client, method, at, user string) (status int, fromEtcd bool, cause string) {
	t.Helper()
	req, err := http.NewRequest(method, at, strings.NewReader(url.Values{"value": {"1"}}.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if user != "" {
		req.SetBasicAuth(user, user+"-1")
	}
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	var refusal struct{ Cause string }
	_ = json.Unmarshal(body, &refusal) // etcd's answers are not all JSON
	// A handler of etcd refuses other methods without the id of the cluster, and with a
	// shorter list of allowed methods than the proxy.
	foreign := resp.StatusCode == 405 && !strings.Contains(resp.Header.Get("Allow"), "OPTIONS")
	return resp.StatusCode, resp.Header.Get("X-Etcd-Cluster-Id") != "" || foreign, refusal.Cause
}

func TestARunningProxyTellsWhatItsFileSays(t *testing.T) {
	s := daemontest.Start(t, fmt.Sprintf(daemontest.SeedConfig, "http://127.0.0.1:1")+explainedTable)
	file, err := daemon.DecisionTable(s.Path("etcd-tlsproxy.toml"))
	if err != nil {
		t.Fatal(err)
	}
	running, ctx := explain.Running(s.AdminURL), context.Background()
	who, err := running.Who(ctx, "/conftool/")
	if want := explain.WhoMay(file, "/conftool"); err != nil || !reflect.DeepEqual(who, want) {
		t.Errorf("--who of the running proxy: got %+v and the error %v", who, err)
	}
	what, err := running.What(ctx, "root")
	if want := explain.WhatMay(file, "root"); err != nil || !reflect.DeepEqual(what, want) {
		t.Errorf("--what of the running proxy: got %+v and the error %v", what, err)
	}
	table, err := running.Table(ctx)
	if err != nil {
		t.Fatal(err)
	}
	again, err := table.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(explain.TableOf(again), explain.TableOf(file)) {
		t.Errorf("the table of the running proxy: got %+v", table)
	}
	for query, text := range map[string]string{"?who=x": "slash", "?who=/a&what=b": "parameters", "?target=/": "parameters", "?what=a&what=b": "twice", "?%zz": "malformed"} {
		if status, body := s.Admin("GET", "/-/explain"+query); status != 400 || !strings.Contains(body, text) {
			t.Errorf("GET %s: got status %d with %q", query, status, body)
		}
	}
	if status, _ := s.Admin("POST", "/-/explain"); status != 405 {
		t.Errorf("POST /-/explain: got status %d", status)
	}
	if _, err := running.Who(ctx, "/a//b"); err == nil || !strings.Contains(err.Error(), "empty segment") {
		t.Error(err)
	}
}

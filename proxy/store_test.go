package proxy_test

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"etcd-tlsproxy/acl"
	"etcd-tlsproxy/proxy/lane"
	"etcd-tlsproxy/proxy/proxytest"
	"etcd-tlsproxy/proxy/proxytest/fronttest"
	"etcd-tlsproxy/proxy/proxytest/seed"
)

// varying matches what differs between two stores: indexes, times, and the length of both.
var varying = regexp.MustCompile(`("(?:modifiedIndex|createdIndex|index)":|X-Etcd-Index: |X-Raft-Index: |X-Raft-Term: |Content-Length: )\d+|(X-Etcd-Cluster-Id: )[0-9a-f]+|(Date: )[^\n]+|("expiration":)"[^"]+"`)

// same replaces what varies.
func same(s string) string { return varying.ReplaceAllString(s, "${1}${2}${3}${4}N") }

// TestAStoreIsAnsweredLikeTheV2API sends the same requests to a proxy before a v3 store and to
// one before the v2 API, and compares all bytes of the answers but indexes and times.
func TestAStoreIsAnsweredLikeTheV2API(t *testing.T) {
	t.Parallel()
	fronttest.EachLane(t, func(t *testing.T, l fronttest.Lane) {
		store := l.Front(t, fronttest.StartStore(t).URL(), nil)
		e, err := proxytest.StartEmbedded(proxytest.Options{Dir: t.TempDir()})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(e.Close)
		etcd := l.Front(t, e.URL(), nil)
		form := func(method, key, form string) string {
			return fmt.Sprintf("%s /v2/keys%s HTTP/1.1\r\nHost: h\r\nAuthorization: %s\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: %d\r\n\r\n%s",
				method, key, fronttest.Basic("root"), len(form), form)
		}
		bare := func(method, target string) string {
			return fmt.Sprintf("%s %s HTTP/1.1\r\nHost: h\r\nAuthorization: %s\r\n\r\n", method, target, fronttest.Basic("root"))
		}
		for _, request := range []string{
			form("PUT", "/a", "value=1"),
			form("PUT", "/a", "value=2&prevExist=true"),
			form("PUT", "/a", "value=3&prevValue=1"),
			form("PUT", "/a", "value=3&prevValue=2"),
			form("PUT", "/a?prevExist=false", "value=4"),
			form("PUT", "/a/b", "value=1"),
			form("PUT", "/d/e%20f", "value=%26%3C%C3%A9"),
			form("PUT", "/d/ttl", "value=1&ttl=1000"),
			form("PUT", "/d/_hidden", "value=1"),
			form("PUT", "/dir", "dir=true"),
			form("PUT", "/dir", "dir=true"),
			form("PUT", "/a", "value=1&ttl=x"),
			form("PUT", "/a", "prevIndex=x"),
			form("PUT", "/a", "%zz"),
			form("PUT", "/a", "value=1&noValueOnSuccess=true"),
			bare("PUT", "/v2/keys/query?value=1"),
			bare("PUT", "/v2/keys/empty"),
			bare("GET", "/v2/keys/a"),
			bare("GET", "/v2/keys//a/"),
			bare("HEAD", "/v2/keys/a"),
			bare("GET", "/v2/keys/d/e%20f"),
			bare("GET", "/v2/keys/d?sorted=true"),
			bare("GET", "/v2/keys/?recursive=true&sorted=true"),
			bare("GET", "/v2/keys?quorum=true&sorted=true"),
			bare("GET", "/v2/keys/none"),
			bare("HEAD", "/v2/keys/none"),
			bare("GET", "/v2/keys/a?recursive=maybe"),
			bare("GET", "/v2/keys/a?wait=true&waitIndex=x"),
			bare("GET", "/v2/keys/a?wait=true&quorum=true"),
			bare("HEAD", "/v2/keys/a?wait=true"),
			bare("DELETE", "/v2/keys/d"),
			bare("DELETE", "/v2/keys/d?dir=true"),
			bare("DELETE", "/v2/keys/d?recursive=true"),
			bare("DELETE", "/v2/keys/a?prevValue=no"),
			bare("DELETE", "/v2/keys/a"),
			bare("DELETE", "/v2/keys/a"),
			form("DELETE", "/empty", "value=ignored"),
		} {
			got, want := store.Exchange(request), etcd.Exchange(request)
			gotText, wantText := same(answerText(got)), same(answerText(want))
			if gotText != wantText {
				t.Errorf("%.80q:\n got %s\nwant %s", request, gotText, wantText)
			}
		}
		if errs := store.Log.String(); strings.Contains(errs, "panic") {
			t.Errorf("the proxy logged %s", errs)
		}
	})
}

func answerText(a *proxytest.Answer) string {
	return fmt.Sprintf("%d\n%s\n%s", a.Status, strings.Join(a.Lines, "\n"), a.Body)
}

func TestAStreamReceivesEachEventOfAStore(t *testing.T) {
	t.Parallel()
	fronttest.EachLane(t, func(t *testing.T, l fronttest.Lane) {
		f := l.Front(t, fronttest.StartStore(t).URL(), nil)
		for _, proto := range []string{"h1", "h2"} {
			resp, err := f.Client(proto).Get(f.URL() + "/v2/keys/conftool?wait=true&recursive=true&stream=true")
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			lines := bufio.NewReader(resp.Body)
			for i := range 3 {
				value := fmt.Sprintf("%s-%d", proto, i)
				f.Put(t, "/conftool/a", value)
				if line, err := lines.ReadString('\n'); err != nil || !strings.Contains(line, `"value":"`+value+`"`) {
					t.Fatalf("%s: got event %q, %v; want the one with the value %s", proto, line, err, value)
				}
			}
		}
		if n := f.Watches(); n != 2 {
			t.Errorf("%d watches are running, want the 2 streams", n)
		}
	})
}

func TestAStreamEndsWhenItsReaderLosesTheRight(t *testing.T) {
	t.Parallel()
	fronttest.EachLane(t, func(t *testing.T, l fronttest.Lane) {
		only := func(readers ...string) func(*lane.Snapshot, *proxytest.PKI) {
			return func(s *lane.Snapshot, _ *proxytest.PKI) {
				s.Rules = seed.Rules(t, acl.Rule{Prefix: "/secret", Read: acl.Only(readers...), Write: acl.Only("root")})
			}
		}
		e := fronttest.StartStore(t)
		f := l.Front(t, e.URL(), only("root", "alice"))
		req, err := http.NewRequest("GET", f.URL()+"/v2/keys/secret?wait=true&recursive=true&stream=true", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.SetBasicAuth("alice", "alice-pw")
		resp, err := f.Client("h1").Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		f.Put(t, "/secret/a", "1")
		lines := bufio.NewReader(resp.Body)
		if line, err := lines.ReadString('\n'); err != nil {
			t.Fatalf("got event %q, %v; want one", line, err)
		}
		next := *f.Server.Snapshot()
		only("root")(&next, nil)
		f.Server.Publish(&next)
		f.Put(t, "/secret/a", "2")
		if rest, err := io.ReadAll(lines); err == nil || len(rest) > 0 {
			t.Errorf("alice, who lost the right, got %q, %v; want a stream that breaks off", rest, err)
		}
	})
}

func TestAStoreWithoutATreeIsRefused(t *testing.T) {
	t.Parallel()
	fronttest.EachLane(t, func(t *testing.T, l fronttest.Lane) {
		f := l.Front(t, fronttest.StartEmpty(t).URL(), nil)
		for _, request := range []string{
			"GET /v2/keys/ HTTP/1.1\r\nHost: h\r\n\r\n",
			"GET /v2/keys/?quorum=true HTTP/1.1\r\nHost: h\r\n\r\n",
			"GET /v2/keys/?wait=true HTTP/1.1\r\nHost: h\r\n\r\n",
			"GET /v2/keys/?wait=true&stream=true HTTP/1.1\r\nHost: h\r\n\r\n",
			"PUT /v2/keys/a?value=1 HTTP/1.1\r\nHost: h\r\nAuthorization: " + fronttest.Basic("root") + "\r\n\r\n",
		} {
			a := f.Exchange(request)
			if a.Status != 503 || !strings.Contains(a.Body, `"errorCode":300,"message":"The store cannot be served"`) {
				t.Errorf("%.40q: got %d %s, want 503 and etcd's code 300", request, a.Status, a.Body)
			}
		}
		fronttest.Eventually(t, "the log names the command that makes a tree", func() bool { return strings.Contains(f.Log.String(), "etcd-tlsproxy migrate init") })
		fronttest.Eventually(t, "the status names the command as well", func() bool {
			store := f.Server.Status().Stores[0]
			return !store.Serving && strings.Contains(store.Reason, "etcd-tlsproxy migrate init")
		})
	})
}

func TestTheWatchesOfAStoreContinueWhenEtcdIsBack(t *testing.T) {
	t.Parallel()
	fronttest.EachLane(t, func(t *testing.T, l fronttest.Lane) {
		e := fronttest.StartStore(t)
		f := l.Front(t, e.URL(), nil)
		c, a := startWatch(t, f, watchRequest)
		e.Cut()
		if status, body, _ := fronttest.Do(t, f.Client("h1"), "GET", f.URL()+"/v2/keys/", "", ""); status != 200 {
			t.Errorf("reading while etcd is away: got %d %s, want 200", status, body)
		}
		if status, body, _ := fronttest.Do(t, f.Client("h1"), "PUT", f.URL()+"/v2/keys/eventlogging/w", "", "value=lost"); status != 503 {
			t.Errorf("writing while etcd is away: got %d %s, want 503", status, body)
		}
		e.Mend()
		fronttest.Eventually(t, "a write succeeds again", func() bool {
			status, _, _ := fronttest.Do(t, f.Client("h1"), "PUT", f.URL()+"/v2/keys/eventlogging/w", "", "value=again")
			return status < 300
		})
		if err := c.ReadBody(a, "GET"); err != nil || !a.Whole || !strings.Contains(a.Body, `"value":"again"`) {
			t.Errorf("the watch got %+v, %v; want the event of the write", a, err)
		}
	})
}

func TestTheStatusAndTheMetricsTellHowAStoreIs(t *testing.T) {
	t.Parallel()
	fronttest.EachLane(t, func(t *testing.T, l fronttest.Lane) {
		e := fronttest.StartStore(t)
		f := l.Front(t, e.URL(), nil)
		f.Put(t, "/conftool/a", "1")
		startWatch(t, f, watchRequest)
		startWatch(t, f, "GET /v2/keys/a?wait=true HTTP/1.1\r\nHost: h\r\n\r\n")
		status := f.Server.Status()
		if len(status.Stores) != 1 || !status.Stores[0].Serving || status.Stores[0].Nodes != 2 || status.Stores[0].Loads != 1 || !status.Stores[0].Session ||
			status.Stores[0].Watches != 2 || status.Watches.Running != 2 || status.Watches.Waiting != 2 || len(status.Watches.Largest) != 0 {
			t.Errorf("got the stores %+v and the watches %+v, want one store that serves two nodes, was loaded once, and has two watches", status.Stores, status.Watches)
		}
		values := gather(t, f)
		for name, want := range map[string]float64{"store_serving": 1, "store_nodes": 2, "store_behind_seconds": 0, "store_loads_total": 1, "store_audit_differences_total": 0,
			"store_clocks_apart": 0, "store_conflicts_total": 0, "store_behind_revisions": 0, "store_expired_total": 0, "store_expiry_late_seconds": 0,
			"store_audited_timestamp_seconds": 0, "store_audit_mended_total": 0, "store_not_compacted_since_timestamp_seconds": 0,
			"store_lost_responses_total outcome=executed": 0, "store_lost_responses_total outcome=not_executed": 0, "store_lost_responses_total outcome=unknown": 0,
			"store_alarm alarm=no_space": 0, "store_alarm alarm=corrupt": 0, "store_written_bytes_total": float64(status.Writers[0].Bytes)} {
			if got, ok := values[name]; !ok || got != want {
				t.Errorf("the metric %s: got %v (there: %t), want %v", name, got, ok, want)
			}
		}
		if _, ok := values["store_fences_total"]; !ok { // the keeper puts one up when it begins
			t.Error("the metric store_fences_total is missing")
		}
		if bytes := float64(status.Stores[0].Bytes); bytes == 0 || values["store_bytes"] != bytes {
			t.Errorf("the metric store_bytes: got %v, want %v as in the status, and more than 0", values["store_bytes"], bytes)
		}
		if w := status.Writers; len(w) != 1 || !strings.HasPrefix(w[0].Account, "root from ") || w[0].Bytes < 100 || w[0].Bytes > 1000 {
			t.Errorf("got the writers %+v, want root with a few hundred bytes", w)
		}
		fronttest.Eventually(t, "the size of the store is known, and who expires nodes", func() bool {
			store, got := f.Server.Status().Stores[0], gather(t, f)
			return store.Alarm == "none" && store.FileBytes > 0 && got["store_file_bytes"] == float64(store.FileBytes) && got["store_used_bytes"] == float64(store.UsedBytes) &&
				got["store_quota_bytes"] == float64(store.QuotaBytes) && store.KeeperName != "" && store.NoKeeperSince.IsZero() && got["store_no_keeper_since_timestamp_seconds"] == 0
		})
		fronttest.Do(t, f.Client("h1"), "GET", f.URL()+"/v2/keys/none?quorum=true", "", "")
		store, got := f.Server.Status().Stores[0], gather(t, f)
		if store.BarrierWaits == 0 || got["store_barrier_waits_total"] != float64(store.BarrierWaits) || got["store_barrier_reads_total"] != float64(store.BarrierReads) ||
			got["store_barrier_wait_seconds_total"] != store.BarrierSeconds {
			t.Errorf("after a quorum read: got the status %+v and the metrics %v, want both alike", store, got)
		}
		fronttest.Eventually(t, "the proxy expires nodes, or the view of the test does", func() bool {
			got, ok := gather(t, f)["store_keeper"]
			return ok && (got == 1) == f.Server.Status().Stores[0].Keeper
		})
		e.Cut()
		defer e.Mend()
		fronttest.Eventually(t, "the events are not followed", func() bool { return gather(t, f)["store_behind_seconds"] > 0 })
		if store := f.Server.Status().Stores[0]; store.Behind == 0 || !store.Serving {
			t.Errorf("without etcd: got %+v, want a store that serves for a while, and is behind", store)
		}
	})
	etcd, _ := fronttest.Fast.Embedded(t, nil)
	if status := etcd.Server.Status(); !fronttest.V3() && (status.Stores == nil || len(status.Stores) > 0 || len(status.Writers) > 0) {
		t.Errorf("with the v2 API: got the stores %v and the writers %v, want empty lists", status.Stores, status.Writers)
	}
	for name := range gather(t, etcd) {
		if !fronttest.V3() && strings.HasPrefix(name, "store_") {
			t.Errorf("with the v2 API: got the metric %s, want none of a store", name)
		}
	}
}

package proxy_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"

	"etcd-tlsproxy/acl"
	"etcd-tlsproxy/proxy/gate"
	"etcd-tlsproxy/proxy/lane"
	"etcd-tlsproxy/proxy/proxytest"
	"etcd-tlsproxy/proxy/proxytest/fronttest"
	"etcd-tlsproxy/proxy/share"
	"etcd-tlsproxy/proxy/upstream"
)

// forward is the change of a front that forwards the credentials of clients, and opens
// etcd's own users to root.
func forward(s *lane.Snapshot, _ *proxytest.PKI) {
	s.EtcdUsers = gate.EtcdClients
	s.Surfaces = map[gate.Surface]acl.Group{gate.Auth: acl.Only("root")}
}

// ask sends JSON to etcd as root, with root's password if there is one already.
func ask(t testing.TB, method, url, body string) {
	t.Helper()
	req, err := http.NewRequest(method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", fronttest.Basic("root"))
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if text, err := io.ReadAll(resp.Body); err != nil || resp.StatusCode >= 300 {
		t.Fatalf("%s %s: got status %d with %q, %v; want success", method, url, resp.StatusCode, text, err)
	}
}

// enableEtcdUsers writes the keys /secret/x and /public/x, and enables etcd's own users: root,
// and alice who may read /secret. Clients without credentials may read /public alone.
func enableEtcdUsers(t testing.TB, etcd string) {
	t.Helper()
	write := func(key string) {
		resp, err := http.DefaultClient.Do(mustRequest(t, "PUT", etcd+"/v2/keys"+key, "value=hidden"))
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
	}
	write("/secret/x")
	write("/public/x")
	ask(t, "PUT", etcd+"/v2/auth/users/root", `{"user":"root","password":"root-pw"}`)
	ask(t, "PUT", etcd+"/v2/auth/users/alice", `{"user":"alice","password":"alice-pw"}`)
	ask(t, "PUT", etcd+"/v2/auth/roles/secret", `{"role":"secret","permissions":{"kv":{"read":["/secret/*"],"write":[]}}}`)
	ask(t, "PUT", etcd+"/v2/auth/users/alice", `{"user":"alice","grant":["secret"]}`)
	ask(t, "PUT", etcd+"/v2/auth/enable", "")
	ask(t, "PUT", etcd+"/v2/auth/roles/guest", `{"role":"guest","revoke":{"kv":{"read":["/*"],"write":["/*"]}}}`)
	ask(t, "PUT", etcd+"/v2/auth/roles/guest", `{"role":"guest","grant":{"kv":{"read":["/public/*"],"write":[]}}}`)
}

func mustRequest(t testing.TB, method, url, form string) *http.Request {
	t.Helper()
	req, err := http.NewRequest(method, url, strings.NewReader(form))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return req
}

func TestNobodyReadsWhatEtcdAnsweredAnotherUser(t *testing.T) {
	fronttest.SkipWithV3(t, "credentials cannot be forwarded")
	fronttest.EachLane(t, func(t *testing.T, l fronttest.Lane) {
		f, e := l.Embedded(t, forward)
		enableEtcdUsers(t, e.URL())
		var clients sync.WaitGroup
		// Equal reads that wait at the same time would share an answer. etcd takes long to
		// hash alice's password, so they do wait.
		for i := range 12 {
			user, want := []string{"", "alice", "conftool"}[i%3], []int{401, 200, 401}[i%3]
			clients.Go(func() {
				client := f.Client([]string{"h1", "h2"}[i%2])
				for range 4 {
					status, body, _ := fronttest.Do(t, client, "GET", f.URL()+"/v2/keys/secret/x", user, "")
					if status != want || strings.Contains(body, "hidden") != (want == 200) {
						t.Errorf("a read of alice's key by %q: got %d %s, want %d", user, status, body, want)
					}
				}
			})
		}
		clients.Wait()
	})
}

func TestNobodyWatchesWhatEtcdShowsAnotherUser(t *testing.T) {
	fronttest.SkipWithV3(t, "credentials cannot be forwarded")
	fronttest.EachLane(t, func(t *testing.T, l fronttest.Lane) {
		f, e := l.Embedded(t, forward)
		enableEtcdUsers(t, e.URL())
		get := func(key, user string) string {
			request := "GET /v2/keys" + key + "?wait=true HTTP/1.1\r\nHost: x\r\n"
			if user != "" {
				request += "Authorization: " + fronttest.Basic(user) + "\r\n"
			}
			return request + "\r\n"
		}
		alice, head := startWatch(t, f, get("/secret/x", "alice"))
		for _, user := range []string{"", "conftool"} {
			if a := f.Exchange(get("/secret/x", user)); a.Status != 401 {
				t.Errorf("a watch of alice's key by %q beside her own: got status %d, want 401", user, a.Status)
			}
		}
		if hubs := f.Gauge("etcd_tlsproxy_watch_hubs"); hubs != 0 {
			t.Errorf("shared watches: got %v, want none", hubs)
		}
		ask(t, "PUT", e.URL()+"/v2/keys/secret/x?value=next", "")
		if err := alice.ReadBody(head, "GET"); err != nil || !strings.Contains(head.Body, `"value":"next"`) {
			t.Errorf("alice's watch: got the event %q, %v; want the next value", head.Body, err)
		}
		// Watches without credentials are one to etcd, and are shared.
		startWatch(t, f, get("/public/x", ""))
		startWatch(t, f, get("/public/x", ""))
		if hubs := f.Gauge("etcd_tlsproxy_watch_hubs"); hubs != 1 {
			t.Errorf("shared watches: got %v, want 1", hubs)
		}
	})
}

func TestEtcdReceivesTheCredentialsThatTheConfigurationNames(t *testing.T) {
	fronttest.EachLane(t, func(t *testing.T, l fronttest.Lane) {
		etcd, err := proxytest.StartEmbedded(proxytest.Options{Dir: t.TempDir()})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(etcd.Close)
		enableEtcdUsers(t, etcd.URL())
		asRoot := func(s *lane.Snapshot, _ *proxytest.PKI) {
			s.Upstream = fronttest.Pool(t, upstream.Options{Authorization: fronttest.Basic("root")}, etcd.URL())
			s.Reads = share.NewReads(s.Upstream, nil)
			s.Watches = share.NewWatches(share.WatchOptions{Pool: s.Upstream})
		}
		for what, c := range map[string]struct {
			change fronttest.Change
			write  int // by root
			secret int // a read without credentials
		}{
			"dropped":            {nil, 401, 401},
			"forwarded":          {forward, 200, 401},
			"those of the proxy": {asRoot, 200, 200},
		} {
			f := l.Front(t, etcd.URL(), c.change)
			client := f.Client("h1")
			if status, body, _ := fronttest.Do(t, client, "PUT", f.URL()+"/v2/keys/public/x", "root", "value=1"); status != c.write {
				t.Errorf("credentials are %s: a write by root: got %d %s, want %d", what, status, body, c.write)
			}
			if status, body, _ := fronttest.Do(t, client, "GET", f.URL()+"/v2/keys/secret/x", "", ""); status != c.secret {
				t.Errorf("credentials are %s: a read without credentials: got %d %s, want %d", what, status, body, c.secret)
			}
		}
	})
}

func TestEtcdsUsersAreEnabledAndDisabledThroughAProxyThatForwards(t *testing.T) {
	fronttest.SkipWithV3(t, "it has users of its own")
	fronttest.EachLane(t, func(t *testing.T, l fronttest.Lane) {
		f, _ := l.Embedded(t, forward)
		client := f.Client("h1")
		send := func(method, path, body string, want int) {
			t.Helper()
			req := mustRequest(t, method, f.URL()+path, body)
			req.Header.Set("Content-Type", "application/json")
			req.Header.Set("Authorization", fronttest.Basic("root"))
			resp, err := client.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			if text, err := io.ReadAll(resp.Body); err != nil || resp.StatusCode != want {
				t.Fatalf("%s %s: got status %d with %q, %v; want %d", method, path, resp.StatusCode, text, err, want)
			}
		}
		send("PUT", "/v2/auth/users/root", `{"user":"root","password":"root-pw"}`, 201)
		send("PUT", "/v2/auth/enable", "", 200)
		send("DELETE", "/v2/auth/enable", "", 200)
		// Another snapshot drops credentials, and then nobody could disable them again.
		next := f.Snapshot(fmt.Sprint(f.Server.Snapshot().Upstream.States()[0].Endpoint), func(s *lane.Snapshot, _ *proxytest.PKI) {
			s.Surfaces = map[gate.Surface]acl.Group{gate.Auth: acl.Only("root")}
		})
		f.Server.Publish(next)
		send("PUT", "/v2/auth/enable", "", 403)
		send("GET", "/v2/auth/enable", "", 200)
	})
}

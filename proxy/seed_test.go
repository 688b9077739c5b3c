package proxy_test

import (
	"net/http"
	"strings"
	"testing"

	"etcd-tlsproxy/acl"
	"etcd-tlsproxy/proxy/gate"
	"etcd-tlsproxy/proxy/proxytest"
	"etcd-tlsproxy/proxy/proxytest/fronttest"
)

// dump returns the whole state of an etcd.
func dump(t *testing.T, e fronttest.Etcd) string {
	t.Helper()
	d, err := proxytest.Dump(e.URL())
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestTheSeedTableBeforeARealEtcd(t *testing.T) {
	t.Parallel()
	fronttest.EachEtcd(t, func(t *testing.T, f *fronttest.Front, e fronttest.Etcd) {
		for _, proto := range []string{"h1", "h2"} {
			client := f.Client(proto)
			allowed := func(method, key, user string) {
				t.Helper()
				status, body, _ := fronttest.Do(t, client, method, f.URL()+"/v2/keys"+key, user, "value="+proto)
				if status != 200 && status != 201 {
					t.Errorf("%s: %s %s by %q: got %d %s, want 200 or 201", proto, method, key, user, status, body)
				}
				if value, ok, err := proxytest.Value(e.URL(), key); method == "PUT" && (!ok || value != proto || err != nil) {
					t.Errorf("%s: after %q wrote %s etcd has %q, %v; want %q", proto, user, key, value, err, proto)
				}
			}
			refused := func(method, key, user string) {
				t.Helper()
				before := dump(t, e)
				status, body, header := fronttest.Do(t, client, method, f.URL()+"/v2/keys"+key, user, "value="+proto)
				if status != 401 || body != gate.RefuseIdentity.Body || header.Get("Www-Authenticate") != `Basic realm="etcd"` {
					t.Errorf("%s: %s %s by %q: got %d %s, want 401, %s and the realm etcd", proto, method, key, user, status, body, gate.RefuseIdentity.Body)
				}
				if dump(t, e) != before {
					t.Errorf("%s: %s %s by %q was refused but changed etcd", proto, method, key, user)
				}
			}
			allowed("PUT", "/x", "root")
			allowed("PUT", "/conftool/v1/a", "root")
			allowed("PUT", "/conftool/v1/a", "conftool")
			allowed("POST", "/conftool/queue", "conftool")
			allowed("PUT", "/eventlogging/token", "")
			allowed("PUT", "/eventlogging/token", "nobody")
			allowed("DELETE", "/eventlogging/token", "")
			refused("PUT", "/x", "")
			refused("PUT", "/x", "conftool")
			refused("PUT", "/x", "nobody")
			refused("DELETE", "/x", "alice")
			refused("POST", "/", "conftool")
			refused("PUT", "/conftool/v1/a", "")
			refused("PUT", "/conftool/v1/a", "alice")
			refused("DELETE", "/conftool?recursive=true&dir=true", "alice")
			refused("PUT", "/conftoolX", "conftool")
			refused("PUT", "/eventloggingX/k", "")
			for _, user := range []string{"", "root", "nobody"} {
				if status, body, header := fronttest.Do(t, client, "GET", f.URL()+"/v2/keys/?recursive=true", user, ""); status != 200 ||
					!strings.Contains(body, "/conftool/v1/a") || header.Get("X-Etcd-Index") == "" {
					t.Errorf("%s: reading the tree by %q: got %d %s, want 200, the keys and an index", proto, user, status, body)
				}
			}
		}
	})
}

// TestHolesOfTheNginxSiteDoNotReachEtcd repeats requests that reached etcd through the
// nginx site, and compares the state of etcd before and after.
func TestHolesOfTheNginxSiteDoNotReachEtcd(t *testing.T) {
	t.Parallel()
	fronttest.EachEtcd(t, func(t *testing.T, f *fronttest.Front, e fronttest.Etcd) {
		client := f.Client("h1")
		before := dump(t, e)
		hole := func(what, method, path, user, body string, want int) {
			t.Helper()
			t.Run(what, func(t *testing.T) {
				status, answer, header := fronttest.Do(t, client, method, f.URL()+path, user, body)
				if status != want {
					t.Errorf("%s %s: got %d %s, want %d", method, path, status, answer, want)
				}
				if kind := header.Get("Content-Type"); !strings.HasPrefix(answer, `{"errorCode":`) || kind != "application/json" {
					t.Errorf("%s %s: got the body %s of type %q, want etcd's JSON", method, path, answer, kind)
				}
			})
		}
		hole("a member is added", "POST", "/v2/members", "", `{"peerURLs":["http://127.0.0.1:1"]}`, 403)
		hole("etcd's root is created", "PUT", "/v2/auth/users/root", "", `{"user":"root","password":"x"}`, 403)
		hole("authentication is switched on", "PUT", "/v2/auth/enable", "", "", 403)
		hole("the log level is changed", "PUT", "/config/local/log", "", `{"Level":"DEBUG"}`, 403)
		hole("a v3 key is written", "POST", "/v3/kv/put", "", `{"key":"Zm9v","value":"YmFy"}`, 403)
		hole("the members' store is read", "GET", "/v2/keys/..%2f0?recursive=true", "", "", 400)
		hole("the poison key by anyone", "PUT", "/v2/keys/eventlogging/0/members/1/attributes", "", "value=x", 403)
		hole("the poison key by root", "PUT", "/v2/keys/0/members/1/attributes", "root", "value=x", 403)
		hole("the poison key as a directory", "PUT", "/v2/keys/eventlogging/0/members/1/attributes?dir=true", "", "", 403)
		deepest := "/v2/keys/eventlogging" + strings.Repeat("/d", acl.MaxDepth-1)
		hole("a key that is too deep", "PUT", deepest+"/d", "", "value=x", 400)
		hole("a key that is too deep by root", "PUT", deepest+"/d?dir=true", "root", "", 400)
		hole("a key that etcd names and that is too deep", "POST", deepest, "", "value=x", 400)
		hole("a neighbor's key", "PUT", "/v2/keys/conftoolX", "conftool", "value=x", 401)
		if after := dump(t, e); after != before {
			t.Errorf("the refused requests changed etcd from\n%s\nto\n%s", before, after)
		}
	})
}

// TestKeysThatAreTooDeepAreServedWithADirectoryAboveThem covers clusters that hold such
// keys from before they were refused.
func TestKeysThatAreTooDeepAreServedWithADirectoryAboveThem(t *testing.T) {
	t.Parallel()
	fronttest.EachEtcd(t, func(t *testing.T, f *fronttest.Front, e fronttest.Etcd) {
		deepest := "/a" + strings.Repeat("/d", acl.MaxDepth-1)
		if status, body, _ := fronttest.Do(t, http.DefaultClient, "PUT", e.URL()+"/v2/keys"+deepest+"/d/d", "", "value=found"); status != 201 {
			t.Fatalf("writing a deep key at etcd: got %d %s, want 201", status, body)
		}
		client := f.Client("h1")
		for _, key := range []string{"/", "/a", deepest} {
			if status, body, _ := fronttest.Do(t, client, "GET", f.URL()+"/v2/keys"+key+"?recursive=true", "", ""); status != 200 || !strings.Contains(body, `"value":"found"`) {
				t.Errorf("reading the tree %.20s: got %d %.100s, want 200 and the value", key, status, body)
			}
		}
		if status, body, _ := fronttest.Do(t, client, "GET", f.URL()+"/v2/keys"+deepest+"/d", "", ""); status != 400 || body != gate.RefuseDepth.Body {
			t.Errorf("reading the deep key: got %d %.200s, want 400 %s", status, body, gate.RefuseDepth.Body)
		}
		if status, body, _ := fronttest.Do(t, client, "DELETE", f.URL()+"/v2/keys"+deepest+"?recursive=true", "root", ""); status != 200 {
			t.Errorf("deleting the tree: got %d %.200s, want 200", status, body)
		}
		if _, found, err := proxytest.Value(e.URL(), deepest+"/d/d"); found || err != nil {
			t.Errorf("the deep key after its directory was deleted: got found %v, %v; want it gone", found, err)
		}
	})
}

func TestEtcdGetsNothingOfTheClientsHeadButFourFields(t *testing.T) {
	t.Parallel()
	fronttest.EachLane(t, func(t *testing.T, l fronttest.Lane) {
		heads := make(chan http.Header, 1)
		f := l.Front(t, fronttest.StandIn(t, func(w http.ResponseWriter, r *http.Request) {
			h := r.Header.Clone()
			h.Set("Host", r.Host)
			heads <- h
		}), nil)
		f.Exchange("PUT /v2/keys/conftool/a HTTP/1.1\r\nHost: evil.example\r\nAuthorization: " + fronttest.Basic("conftool") +
			"\r\nX-Forwarded-For: 10.0.0.1\r\nX-Real-IP: 10.0.0.1\r\nX-Forwarded-User: root\r\nCookie: a=b\r\nX-HTTP-Method-Override: DELETE\r\n" +
			"Connection: close, X-Secret\r\nX-Secret: s\r\nRange: bytes=0-1\r\nContent-Type: application/x-www-form-urlencoded\r\nUser-Agent: conftool\r\nContent-Length: 7\r\n\r\nvalue=1")
		got := <-heads
		want := http.Header{"Host": {"etcd"}, "User-Agent": {"conftool"}, "Content-Type": {"application/x-www-form-urlencoded"}, "Content-Length": {"7"}}
		for name := range got {
			if strings.Join(got[name], ",") != strings.Join(want[name], ",") {
				t.Errorf("etcd received %s: %q, want %q", name, got[name], want[name])
			}
		}
		if len(got) != len(want) {
			t.Errorf("etcd received the fields %v, want %v", got, want)
		}
		// Requests that are not for keys carry the client's address, not what the client claims.
		f.Exchange("GET /version HTTP/1.1\r\nHost: h\r\nX-Forwarded-For: 10.0.0.1\r\nX-Real-IP: 10.0.0.1\r\n\r\n")
		if got := <-heads; got.Get("X-Forwarded-For") != "127.0.0.1" || got.Get("X-Real-Ip") != "127.0.0.1" {
			t.Errorf("etcd received %v, want 127.0.0.1 in X-Forwarded-For and X-Real-Ip", got)
		}
	})
}

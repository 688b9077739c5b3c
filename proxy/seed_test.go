package proxy

import (
	"etcd-tlsproxy/proxy/gate"
	"net/http"
	"strings"
	"testing"

	"etcd-tlsproxy/proxy/proxytest"
)

func dump(t *testing.T, e etcd) string {
	t.Helper()
	d, err := proxytest.Dump(e.URL())
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestTheSeedTableBeforeARealEtcd(t *testing.T) {
	withEtcd(t, func(t *testing.T, f *front, e etcd) {
		for _, proto := range []string{"h1", "h2"} {
			client := f.client(proto)
			allowed := func(method, key, user string) {
				t.Helper()
				status, body, _ := do(t, client, method, f.url()+"/v2/keys"+key, user, "value="+proto)
				if status != 200 && status != 201 {
					t.Errorf("%s: %s %s by %q: %d %s", proto, method, key, user, status, body)
				}
				if value, ok, err := proxytest.Value(e.URL(), key); method == "PUT" && (!ok || value != proto || err != nil) {
					t.Errorf("%s: %s holds %q after %q wrote it: %v", proto, key, value, user, err)
				}
			}
			refused := func(method, key, user string) {
				t.Helper()
				before := dump(t, e)
				status, body, header := do(t, client, method, f.url()+"/v2/keys"+key, user, "value="+proto)
				if status != 401 || body != gate.RefuseIdentity.Body || header.Get("Www-Authenticate") != `Basic realm="etcd"` {
					t.Errorf("%s: %s %s by %q: %d %s", proto, method, key, user, status, body)
				}
				if dump(t, e) != before {
					t.Errorf("%s: %s %s by %q was refused and changed etcd", proto, method, key, user)
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
				if status, body, header := do(t, client, "GET", f.url()+"/v2/keys/?recursive=true", user, ""); status != 200 ||
					!strings.Contains(body, "/conftool/v1/a") || header.Get("X-Etcd-Index") == "" {
					t.Errorf("%s: a read by %q: %d %s", proto, user, status, body)
				}
			}
		}
	})
}

// TestHolesOfTheNginxSiteDoNotReachEtcd repeats what was seen to reach etcd
// through the site, and looks at etcd before and after.
func TestHolesOfTheNginxSiteDoNotReachEtcd(t *testing.T) {
	withEtcd(t, func(t *testing.T, f *front, e etcd) {
		client := f.client("h1")
		before := dump(t, e)
		hole := func(what, method, path, user, body string, want int) {
			t.Helper()
			t.Run(what, func(t *testing.T) {
				if status, body, header := do(t, client, method, f.url()+path, user, body); status != want || !strings.HasPrefix(body, `{"errorCode":`) ||
					header.Get("Content-Type") != "application/json" {
					t.Errorf("%s %s: %d %s", method, path, status, body)
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
		hole("a neighbour's key", "PUT", "/v2/keys/conftoolX", "conftool", "value=x", 401)
		if after := dump(t, e); after != before {
			t.Errorf("etcd was changed:\n%s\n%s", before, after)
		}
	})
}

func TestEtcdGetsNothingOfTheClientsHeadButFourFields(t *testing.T) {
	heads := make(chan http.Header, 1)
	f := newFront(t, listen(t), standIn(t, func(w http.ResponseWriter, r *http.Request) {
		h := r.Header.Clone()
		h.Set("Host", r.Host)
		heads <- h
	}), nil)
	f.exchange("PUT /v2/keys/conftool/a HTTP/1.1\r\nHost: evil.example\r\nAuthorization: " + basic("conftool") +
		"\r\nX-Forwarded-For: 10.0.0.1\r\nX-Real-IP: 10.0.0.1\r\nX-Forwarded-User: root\r\nCookie: a=b\r\nX-HTTP-Method-Override: DELETE\r\n" +
		"Connection: close, X-Secret\r\nX-Secret: s\r\nRange: bytes=0-1\r\nContent-Type: application/x-www-form-urlencoded\r\nUser-Agent: conftool\r\nContent-Length: 7\r\n\r\nvalue=1")
	got := <-heads
	want := http.Header{"Host": {"etcd"}, "User-Agent": {"conftool"}, "Content-Type": {"application/x-www-form-urlencoded"}, "Content-Length": {"7"}}
	for name := range got {
		if strings.Join(got[name], ",") != strings.Join(want[name], ",") {
			t.Errorf("%s: %q", name, got[name])
		}
	}
	if len(got) != len(want) {
		t.Errorf("etcd got %v", got)
	}
	// Elsewhere etcd is told who asks, and not what the client says of itself.
	f.exchange("GET /version HTTP/1.1\r\nHost: h\r\nX-Forwarded-For: 10.0.0.1\r\nX-Real-IP: 10.0.0.1\r\n\r\n")
	if got := <-heads; got.Get("X-Forwarded-For") != "127.0.0.1" || got.Get("X-Real-Ip") != "127.0.0.1" {
		t.Errorf("etcd got %v", got)
	}
}

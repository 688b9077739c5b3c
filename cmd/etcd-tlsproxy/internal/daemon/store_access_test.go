package daemon_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"go.etcd.io/etcd/api/v3/authpb"
	"go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/daemon/daemontest"
	"etcd-tlsproxy/proxy/proxytest"
	"etcd-tlsproxy/proxy/proxytest/dnstest"
	"etcd-tlsproxy/proxy/v2v3/layout"
)

// answersAll checks a write, reads of each kind, a deletion and a watch.
func (c *storeClient) answersAll() {
	t := c.s.T
	t.Helper()
	watch, err := c.Get(c.s.URL + "/v2/keys/conftool/b?wait=true")
	if err != nil {
		t.Fatal(err)
	}
	defer watch.Body.Close()
	for _, request := range []string{
		"PUT /v2/keys/conftool/a?value=1", "GET /v2/keys/conftool/a", "GET /v2/keys/conftool/a?quorum=true", "DELETE /v2/keys/conftool/a",
		"POST /v2/keys/conftool/queue?value=1", "GET /v2/machines", "GET /v2/stats/self", "PUT /v2/keys/conftool/b?value=2",
	} {
		method, target, _ := strings.Cut(request, " ")
		if status, body := c.do(method, target); status/100 != 2 {
			t.Errorf("%s: got %d %s, want success", request, status, body)
		}
	}
	if event, err := io.ReadAll(watch.Body); err != nil || !strings.Contains(string(event), `"value":"2"`) {
		t.Errorf("the watch got %q, %v; want the event of the write", event, err)
	}
}

// hurried gives requests little time. A store that cannot be loaded takes the place of the one in use
// when the time of a request is over.
func hurried(config string) string {
	return strings.Replace(config, "[limits]\n", "[limits]\nupstream_timeout = \"3s\"\n", 1)
}

// protectV3 turns on the users of etcd's v3 API. The user proxy, with the password secret, may use the
// tree and nothing else.
func protectV3(t *testing.T, etcd, prefix string) {
	t.Helper()
	at, err := url.Parse(etcd)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := grpc.NewClient("passthrough:///"+at.Host, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	auth, ctx := etcdserverpb.NewAuthClient(conn), context.Background()
	must := func(_ any, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	start, end := layout.Keys(prefix).Range()
	must(auth.RoleAdd(ctx, &etcdserverpb.AuthRoleAddRequest{Name: "tree"}))
	must(auth.RoleGrantPermission(ctx, &etcdserverpb.AuthRoleGrantPermissionRequest{Name: "tree",
		Perm: &authpb.Permission{PermType: authpb.READWRITE, Key: start, RangeEnd: end}}))
	for user, role := range map[string]string{"root": "root", "proxy": "tree"} {
		must(auth.UserAdd(ctx, &etcdserverpb.AuthUserAddRequest{Name: user, Password: "secret"}))
		if role == "root" {
			must(auth.RoleAdd(ctx, &etcdserverpb.AuthRoleAddRequest{Name: role}))
		}
		must(auth.UserGrantRole(ctx, &etcdserverpb.AuthUserGrantRoleRequest{User: user, Role: role}))
	}
	must(auth.AuthEnable(ctx, &etcdserverpb.AuthEnableRequest{}))
}

func TestAStoreIsReachedAsAUserOfEtcd(t *testing.T) {
	t.Parallel()
	e := startEtcd(t)
	protectV3(t, e.URL(), "tree")
	const prefix = "prefix = \"tree\"\n"
	user := prefix + "user = \"proxy\"\npassword_file = \"etcd.password\"\n"
	s := daemontest.StartWith(t, hurried(storeConfig(e.URL(), user)), map[string]string{"etcd.password": "secret\n"})
	initialize(t, s)
	c := &storeClient{&http.Client{Transport: s.Transport()}, s}
	c.serves()
	c.answersAll()
	refused := func(what string) {
		t.Helper()
		s.Eventually(what+" is refused", func() bool {
			status, body := c.do("PUT", "/v2/keys/conftool/a?value=1")
			return status == 503 && strings.Contains(body, "The store cannot be served")
		})
		if status, body := c.do("GET", "/v2/keys/conftool/b"); status != 503 {
			t.Errorf("reading with %s: got %d %s, want 503", what, status, body)
		}
	}
	s.Write("etcd.password", "mistaken\n")
	refused("a wrong password")
	s.Write("etcd.password", "secret\n")
	c.serves()
	s.Write("etcd-tlsproxy.toml", hurried(storeConfig(e.URL(), prefix)))
	refused("no user")
	s.Write("etcd-tlsproxy.toml", hurried(storeConfig(e.URL(), user)))
	c.serves()
	if log := s.Log.String(); strings.Contains(log, "secret") || strings.Contains(log, "mistaken") {
		t.Errorf("the log contains a password of etcd's user:\n%s", log)
	}
}

func TestAStoreIsReachedWithACertificate(t *testing.T) {
	t.Parallel()
	e := newSecureEtcd(t)
	config := func(more string) string {
		return hurried(storeConfig(e.URL(), fmt.Sprintf("ca = %q\n%s", e.path("ca.crt"), more)))
	}
	s := daemontest.Start(t, config(e.certificate()))
	initialize(t, s)
	c := &storeClient{&http.Client{Transport: s.Transport()}, s}
	c.serves()
	c.answersAll()
	refused := func() bool { status, _ := c.do("PUT", "/v2/keys/conftool/a?value=1"); return status == 503 }
	s.Write("etcd-tlsproxy.toml", config(""))
	s.Eventually("etcd refuses the proxy without a certificate", refused)
	s.Write("etcd-tlsproxy.toml", config(e.certificate()))
	c.serves()
	stranger, err := proxytest.NewPKI()
	if err != nil {
		t.Fatal(err)
	}
	e.writeClient(stranger, "proxy")
	s.Eventually("etcd refuses the certificate of another CA", refused)
	e.writeClient(e.pki, "proxy")
	c.serves()
}

// TestAStoreOfAnotherCAIsNotUsed has an etcd with a certificate that the proxy does not trust.
func TestAStoreOfAnotherCAIsNotUsed(t *testing.T) {
	t.Parallel()
	e := newSecureEtcd(t)
	stranger, err := proxytest.NewPKI()
	if err != nil {
		t.Fatal(err)
	}
	e.write("other.crt", stranger.CA())
	s := daemontest.Start(t, storeConfig(e.URL(), fmt.Sprintf("ca = %q\n%s", e.path("other.crt"), e.certificate())))
	c := &storeClient{&http.Client{Transport: s.Transport()}, s}
	if status, body := c.do("GET", "/v2/keys/"); status != 503 {
		t.Errorf("got %d %s, want 503", status, body)
	}
	s.Eventually("the log says why", func() bool { return strings.Contains(s.Log.String(), "certificate signed by unknown authority") })
	s.Write("etcd-tlsproxy.toml", storeConfig(e.URL(), fmt.Sprintf("ca = %q\n%s", e.path("ca.crt"), e.certificate())))
	s.Eventually("the other CA is in use", func() bool { return strings.Contains(s.Log.String(), "migrate init") })
	initialize(t, s)
	c.serves()
}

// TestAStoreIsFoundInDNS has three members, of which two are published in turn, the second with a
// watch that begins at the first.
func TestAStoreIsFoundInDNS(t *testing.T) {
	t.Parallel()
	cluster, err := proxytest.Release{Name: "3.5"}.Cluster(t.TempDir(), 3)
	t.Cleanup(cluster.Close)
	if err != nil {
		t.Fatal(err)
	}
	dns := dnstest.New(t)
	publish := func(i int) {
		at, err := url.Parse(cluster.Members[i].URL())
		if err != nil {
			t.Fatal(err)
		}
		name := cluster.Members[i].Name() + ".example.org"
		dns.Set(dnstest.SRV("etcd-client", "example.org", 0, 0, name, at.Port()), name+". IN A 127.0.0.1")
	}
	publish(0)
	s := daemontest.Start(t, strings.Replace(srvConfig(dns, "1h"), "[upstream]\n", "[upstream]\napi = \"v3\"\n", 1))
	initialize(t, s)
	c := &storeClient{&http.Client{Transport: s.Transport()}, s}
	c.serves()
	c.answersAll()
	publish(1)
	if status, body := s.Admin("POST", "/-/reload"); status != 200 {
		t.Fatalf("reload: got status %d with %q, want 200", status, body)
	}
	s.Eventually("the other member is in use", func() bool {
		_, body := s.Admin("GET", "/-/status.json")
		return strings.Contains(body, `"endpoint":"`+strings.TrimPrefix(cluster.Members[1].URL(), "http://")+`"`)
	})
	cluster.Members[0].Close()
	c.serves()
	c.answersAll()
}

// TestAStoreIsFoundInDNSWithTLS verifies the name that the record has.
func TestAStoreIsFoundInDNSWithTLS(t *testing.T) {
	t.Parallel()
	e := newSecureEtcd(t, "a.example.org")
	at, err := url.Parse(e.URL())
	if err != nil {
		t.Fatal(err)
	}
	dns := dnstest.New(t)
	publish := func(name string) {
		dns.Set(dnstest.SRV("etcd-client-ssl", "example.org", 0, 0, name, at.Port()), name+". IN A 127.0.0.1")
	}
	publish("a.example.org")
	s := daemontest.Start(t, hurried(strings.Replace(srvConfig(dns, "1h"), "[upstream]\n", fmt.Sprintf("[upstream]\napi = \"v3\"\nca = %q\n%s", e.path("ca.crt"), e.certificate()), 1)))
	initialize(t, s)
	c := &storeClient{&http.Client{Transport: s.Transport()}, s}
	c.serves()
	c.answersAll()
	publish("b.example.org")
	s.Admin("POST", "/-/reload")
	s.Eventually("a member with another name is refused", func() bool { status, _ := c.do("PUT", "/v2/keys/conftool/a?value=1"); return status == 503 })
	publish("a.example.org")
	s.Admin("POST", "/-/reload")
	c.serves()
}

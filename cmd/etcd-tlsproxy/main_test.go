package main

import (
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"etcd-tlsproxy/proxy/proxytest"
	"etcd-tlsproxy/proxy/proxytest/dnstest"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"etcd-tlsproxy": main})
}

// TestScripts runs the program like an operator; each script documents one command.
func TestScripts(t *testing.T) {
	pki, err := proxytest.NewPKI()
	if err != nil {
		t.Fatal(err)
	}
	dns := dnstest.New(t)
	dns.Set(dnstest.SRV("etcd-client-ssl", "example.org", 10, 0, "conf1001.example.org", 2379),
		dnstest.SRV("etcd-client-ssl", "example.org", 20, 0, "conf1002.example.org", 2379), "conf1001.example.org. IN A 198.51.100.1", "conf1002.example.org. IN A 127.0.0.1",
		dnstest.SRV("etcd-client", "plain.example.org", 10, 0, "conf1001.example.org", 2379),
		dnstest.SRV("etcd-server", "peers.example.org", 0, 0, "conf1001.example.org", 2380), dnstest.SRV("etcd-server", "peers.example.org", 0, 0, "conf1002.example.org", 2380),
		dnstest.SRV("etcd-client-ssl", "peers.example.org", 0, 0, "conf1001.example.org", 4001), dnstest.SRV("etcd-client-ssl", "peers.example.org", 0, 0, "conf1002.example.org", 4001),
		dnstest.SRV("etcd-server", "bad.example.org", 0, 0, "conf1001.example.org", 2380), dnstest.SRV("etcd-client", "bad.example.org", 0, 0, "conf1009.example.org", 2379))
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Setup: func(env *testscript.Env) error {
			env.Setenv("DNS", dns.Addr())
			cert, key, err := pki.Server("localhost")
			if err != nil {
				return err
			}
			users, err := proxytest.Htpasswd(map[string]string{"root": "root-1", "conftool": "conftool-1"})
			if err != nil {
				return err
			}
			// nginx needs absolute paths.
			site := fmt.Sprintf(`upstream etcd { server 127.0.0.1:2379; }
server {
	listen 4001 ssl;
	ssl_certificate %[1]s/server.crt; ssl_certificate_key %[1]s/server.key;
	location / { proxy_pass http://etcd; }
	location /v2/keys/ { limit_except GET OPTIONS { auth_basic "etcd"; auth_basic_user_file %[1]s/auth/_; } proxy_pass http://etcd; }
	location /v2/keys/conftool { limit_except GET OPTIONS { auth_basic "etcd"; auth_basic_user_file %[1]s/auth/_conftool; } proxy_pass http://etcd; }
	location /v2/keys/eventlogging { auth_basic off; proxy_pass http://etcd; }
}
`, env.WorkDir)
			for name, data := range map[string][]byte{"server.crt": cert, "server.key": key, "ca.crt": pki.CA(), "htpasswd": users, "site": []byte(site)} {
				if err := os.WriteFile(env.WorkDir+"/"+name, data, 0o600); err != nil {
					return err
				}
			}
			return nil
		},
	})
}

// TestArrows pins which packages a package must not depend on; each ban has its reason.
func TestArrows(t *testing.T) {
	depends := func(of string) []string {
		t.Helper()
		out, err := exec.Command("go", "list", "-deps", of).Output()
		if err != nil {
			t.Fatalf("listing the dependencies of %s: %v", of, err)
		}
		return strings.Fields(string(out))
	}
	bannedExactly := func(of, reason, dependency string) {
		t.Helper()
		if slices.Contains(depends("etcd-tlsproxy/"+of), dependency) {
			t.Errorf("%s depends on %s, which is banned: %s", of, dependency, reason)
		}
	}
	banned := func(of, reason string, prefixes ...string) {
		t.Helper()
		for _, dependency := range depends("etcd-tlsproxy/" + of) {
			if slices.ContainsFunc(prefixes, func(prefix string) bool {
				return dependency == prefix || strings.HasPrefix(dependency, prefix+"/")
			}) {
				t.Errorf("%s depends on %s, which is banned: %s", of, dependency, reason)
			}
		}
	}
	banned("cmd/etcd-tlsproxy", "the embedded etcd is for the demo and the tests", "go.etcd.io/etcd/server/v3", "etcd-tlsproxy/proxy/proxytest", "testing")
	banned("cmd/etcd-tlsproxy", "the program uses the standard library's resolver; this package is for the tests' DNS server", "github.com/miekg/dns")
	banned("acl", "decisions know no transport, no file format and no logger", "net/http", "log/slog", "github.com/BurntSushi/toml",
		"etcd-tlsproxy/proxy", "etcd-tlsproxy/certs", "etcd-tlsproxy/cmd")
	banned("certs", "certificates know no transport but TLS, no file format and no logger", "net/http", "log/slog", "github.com/BurntSushi/toml",
		"etcd-tlsproxy/proxy", "etcd-tlsproxy/acl", "etcd-tlsproxy/cmd")
	banned("proxy/http1", "a grammar has no sockets and no policy", "net", "etcd-tlsproxy/acl", "etcd-tlsproxy/certs", "etcd-tlsproxy/proxy/upstream")
	banned("proxy/upstream", "the pool decides nothing, and speaks no HTTP but our own grammar", "net/http", "etcd-tlsproxy/acl", "etcd-tlsproxy/certs")
	banned("proxy/share", "sharing decides nothing: access is decided before", "net/http", "etcd-tlsproxy/acl", "etcd-tlsproxy/certs")
	banned("proxy", "pages for operators are made in cmd", "html/template")
	banned("cmd/etcd-tlsproxy/internal/statuspage", "a page reads and shows; it loads and changes nothing", "github.com/BurntSushi/toml", "github.com/spf13/cobra", "etcd-tlsproxy/proxy/proxytest")
	banned("cmd/etcd-tlsproxy/internal/config", "settings are values: no HTTP, no commands, no metrics, and nothing that serves", "net/http", "os/exec", "os/signal",
		"github.com/spf13/cobra", "github.com/prometheus", "github.com/coreos/go-systemd", "etcd-tlsproxy/proxy/share", "etcd-tlsproxy/proxy/proxytest",
		"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/daemon")
	bannedExactly("cmd/etcd-tlsproxy/internal/config", "a configuration is checked without the server that applies it", "etcd-tlsproxy/proxy")
	banned("cmd/etcd-tlsproxy/internal/daemon", "the service knows no command line", "github.com/spf13/cobra", "etcd-tlsproxy/proxy/proxytest", "testing")
	banned("proxy", "configuration lives in cmd", "github.com/BurntSushi/toml", "github.com/spf13/cobra", "etcd-tlsproxy/cmd", "etcd-tlsproxy/proxy/proxytest")
}

package main

import (
	"fmt"
	"os"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"etcd-tlsproxy/proxy/proxytest"
	"etcd-tlsproxy/proxy/proxytest/dnstest"
	"etcd-tlsproxy/proxy/proxytest/etcd35"
)

func TestMain(m *testing.M) {
	testscript.Main(waiting{m}, map[string]func(){"etcd-tlsproxy": main, etcd35Name: func() {
		if err := etcd35.Run(os.Args[1:]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}})
}

// etcd35Name is the name under which the program of the tests is an etcd 3.5.
const etcd35Name = "etcd35"

// waiting are the tests of this package, not its commands.
type waiting struct{ *testing.M }

func (w waiting) Run() int {
	proxytest.WaitTogether()
	return w.M.Run()
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
		dnstest.SRV("etcd-server", "bad.example.org", 0, 0, "conf1001.example.org", 2380), dnstest.SRV("etcd-client", "bad.example.org", 0, 0, "conf1009.example.org", 2379),
		dnstest.SRV("etcd-server", "half.example.org", 0, 0, "conf1001.example.org", 2380), dnstest.SRV("etcd-server", "half.example.org", 0, 0, "conf1002.example.org", 0), dnstest.SRV("etcd-server", "half.example.org", 0, 0, "", 2380),
		dnstest.SRV("etcd-client", "half.example.org", 0, 0, "conf1001.example.org", 2379), dnstest.SRV("etcd-client", "half.example.org", 0, 0, "conf1002.example.org", 0))
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Condition: func(name string) (bool, error) {
			if name != "root" {
				return false, fmt.Errorf("there is no condition %s", name)
			}
			return os.Getuid() == 0, nil
		},
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
	location /v2/keys/ { limit_except GET OPTIONS { auth_basic "etcd"; auth_basic_user_file %[1]s/auth/_.htpasswd; } proxy_pass http://etcd; }
	location /v2/keys/conftool { limit_except GET OPTIONS { auth_basic "etcd"; auth_basic_user_file %[1]s/auth/_conftool.htpasswd; } proxy_pass http://etcd; }
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

package main

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/config"
	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/daemon/daemontest"
	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/siteimport"
	"etcd-tlsproxy/proxy/proxytest"
)

// imported runs import and returns its report.
func imported(t *testing.T, args ...string) *siteimport.Report {
	t.Helper()
	var out, errs strings.Builder
	if code := run(context.Background(), append([]string{"import", "--output", "json"}, args...), &out, &errs); code != 0 {
		t.Fatalf("import ended with status %d, want 0:\n%s%s", code, &out, &errs)
	}
	report := &siteimport.Report{}
	if err := json.Unmarshal([]byte(out.String()), report); err != nil {
		t.Fatal(err)
	}
	return report
}

// startImported starts the proxy with a configuration that was imported from nginx: at other
// ports, and patient with wrong passwords.
func startImported(t *testing.T, file string, nginx *proxytest.Nginx) *daemontest.Service {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	config := strings.Replace(string(text), nginx.Addr, "127.0.0.1:0", 1)
	return daemontest.Start(t, "admin = \"127.0.0.1:0\"\n"+strings.Replace(config, "\n[limits]\n", "\n[limits]\nlogin_burst = 1000000\n", 1))
}

func TestBothSourcesOfTheProfileAreOneTable(t *testing.T) {
	p := newProfile(t)
	p.write(t, p.path("hiera.yaml"), profileHiera)
	p.write(t, p.path("nginx.conf"), "events {} http { "+p.site("4001", "conf1001.example.org:2379")+"}")
	for _, match := range []string{"both", "segment"} {
		hiera := imported(t, "--match", match, "--hiera", p.path("hiera.yaml"), "--htpasswd", p.dir, "--pools", p.path("pools"), "--domain", "example.org", "--host", "conf1001.example.org")
		nginx := imported(t, "--match", match, "--nginx", p.path("nginx.conf"))
		a, err := config.Parse("hiera", []byte(hiera.Config))
		if err != nil {
			t.Fatal(err)
		}
		b, err := config.Parse("nginx", []byte(nginx.Config))
		if err != nil {
			t.Fatal(err)
		}
		if len(a.ACLs) != 73 || !reflect.DeepEqual(a.ACLs, b.ACLs) || !reflect.DeepEqual(a.Auth, b.Auth) ||
			a.Listen != b.Listen || a.Match != match {
			t.Errorf("the sources give different configurations\nhiera %s\nnginx %s", hiera.Config, nginx.Config)
		}
		if a.TLS.Certificate[0] != "/etc/ssl/localcerts/etcd.example.org.chained.crt" ||
			!slices.Equal(a.Upstream.Endpoints, []string{"https://conf1001.example.org:2379"}) {
			t.Errorf("the configuration from hiera: got %+v and %+v, want the certificate and the endpoint of conf1001", a.TLS, a.Upstream)
		}
		if strings.Contains(hiera.Config, "saltsalt") || strings.Contains(hiera.Config, "seed") {
			t.Error("the configuration contains a secret of hiera")
		}
		// Only nginx's: where it listens. hiera does not say what the template listens on.
		nginx.Differences = slices.DeleteFunc(nginx.Differences, func(d siteimport.Difference) bool { return d.Class == siteimport.Addresses })
		// Only hiera's: it does not say how large bodies could be.
		hiera.Differences = slices.DeleteFunc(hiera.Differences, func(d siteimport.Difference) bool {
			return d.Class == siteimport.Limits && d.Effect == siteimport.Allowed
		})
		last := len(hiera.Differences) - 1 // only hiera's: nginx did not verify etcd
		if hiera.Differences[last].Class != siteimport.Upstream || !reflect.DeepEqual(hiera.Differences[:last], nginx.Differences) {
			t.Errorf("the sources give different lists of differences\nhiera %+v\nnginx %+v", hiera.Differences, nginx.Differences)
		}
	}
}

func TestTheImportedProfileDecidesAsNginxButForWhatWasListed(t *testing.T) {
	p := newProfile(t)
	nginx, pki := p.start(t)
	for _, match := range []string{"both", "segment"} {
		file := filepath.Join(t.TempDir(), "etcd-tlsproxy.toml")
		report := imported(t, "--match", match, "--nginx", p.path("nginx.conf"), "--write", file)
		var out, errs strings.Builder
		if code := run(context.Background(), []string{"check-config", "-c", file}, &out, &errs); code != 0 || !strings.Contains(out.String(), "73 rules, 72 users") {
			t.Fatalf("check-config ended with status %d, want 0:\n%s%s", code, &out, &errs)
		}
		s := startImported(t, file, nginx)
		before := &side{addr: nginx.Addr, config: &tls.Config{RootCAs: pki.Pool(), ServerName: "localhost"}}
		now := &side{addr: strings.TrimPrefix(s.URL, "https://"), config: before.config}
		for _, one := range []*side{before, now} {
			offering := one.config.Clone()
			offering.NextProtos = []string{"h2", "http/1.1"}
			c, err := tls.Dial("tcp", one.addr, offering)
			if err != nil {
				t.Fatal(err)
			}
			if got := c.ConnectionState().NegotiatedProtocol; got == "h2" {
				t.Errorf("a client that offers HTTP/2 to %s: got HTTP/2, want what the site has", one.addr)
			}
			c.Close()
		}
		defer before.close()
		defer now.close()
		random := rand.New(rand.NewPCG(7, uint64(len(match))))
		same, reached, differ := 0, 0, map[string]int{}
		for range 1500 {
			r := p.random(random)
			a, b := before.send(t, r.method, r.target, r.authorization()), now.send(t, r.method, r.target, r.authorization())
			if r.method == "POST" && strings.HasPrefix(a, "key ") && strings.HasPrefix(b, "key ") {
				a, b = filepath.Dir(a), filepath.Dir(b) // each POST creates a key with its own name
			}
			if a == b {
				same++
				if !strings.HasPrefix(a, "status") {
					reached++
				}
				continue
			}
			class, listed := r.class(report.Differences)
			differ[class]++
			// Keeping both readings opens nothing; /v2/keys is read where nginx redirected.
			if opens := strings.HasPrefix(a, "status") && !strings.HasPrefix(b, "status"); opens && match == "both" && class != siteimport.Redirect {
				t.Errorf("%s %s by %q: nginx refuses it with %q, and the proxy answers %q", r.method, r.target, r.user, a, b)
			}
			if !listed {
				t.Errorf("match %s: %s %s by %q %q: nginx answers %q and the proxy %q, but the import listed no difference of class %s", match, r.method, r.target, r.user, r.behind, a, b, class)
			}
		}
		t.Logf("match %s: %d alike (%d of them reached etcd), different by class: %v", match, same, reached, differ)
		for _, class := range []string{siteimport.RawPrefix, siteimport.Elsewhere, siteimport.Redirect, siteimport.Reserved, siteimport.Spelling, siteimport.Methods, siteimport.Credentials} {
			if differ[class] == 0 {
				t.Errorf("match %s: no request was of the listed class %s, want at least one", match, class)
			}
		}
		if same < 1000 || reached < 500 {
			t.Errorf("match %s: %d outcomes were equal, and %d requests reached etcd; want more of both", match, same, reached)
		}
	}
}

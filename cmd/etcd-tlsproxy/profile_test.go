package main

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"etcd-tlsproxy/proxy/proxytest"
)

// profile is a complete site: the seed's table and a generated rule for each pool, with
// one htpasswd file for each rule, apr1 hashes and a single salt.
type profile struct {
	dir       string
	prefixes  []string
	users     map[string][]string // by prefix
	passwords map[string]string
	pools     []string
}

func newProfile(t *testing.T) *profile {
	t.Helper()
	p := &profile{
		dir: t.TempDir(), prefixes: []string{"/", "/conftool", "/eventlogging"}, passwords: map[string]string{"root": "root-1", "conftool": "conftool-1"},
		users: map[string][]string{"/": {"root"}, "/conftool": {"root", "conftool"}, "/eventlogging": nil},
	}
	for _, dc := range []string{"eqiad", "codfw"} {
		for i := range 35 {
			// Some names are the beginning of others.
			cluster := []string{"appserver", "api", "cache_text", "kubernetes", "thumbor"}[i%5] + []string{"", "s", "-canary", "-ssl", "1", "10", "2"}[i/5]
			prefix, user := "/conftool/v1/pools/"+dc+"/"+cluster, "pool-"+dc+"-"+cluster
			digest := sha256.Sum256([]byte("seed|||" + dc + "-" + cluster))
			p.pools = append(p.pools, dc+"/"+cluster)
			p.prefixes = append(p.prefixes, prefix)
			p.users[prefix] = []string{"root", "conftool", user}
			p.passwords[user] = base64.StdEncoding.EncodeToString(digest[:])[:21]
		}
	}
	for _, prefix := range p.prefixes {
		if users := p.users[prefix]; users != nil {
			some := map[string]string{}
			for _, user := range users {
				some[user] = p.passwords[user]
			}
			data, err := proxytest.Htpasswd(some)
			if err != nil {
				t.Fatal(err)
			}
			p.write(t, p.file(prefix), string(data))
		}
	}
	p.write(t, p.path("pools"), strings.Join(p.pools, "\n"))
	p.write(t, p.path("401.json"), `{"errorCode":110,"message":"The request requires user authentication","cause":"Insufficient credentials","index":0}`)
	return p
}

// start starts nginx with the profile in front of an etcd.
func (p *profile) start(t *testing.T) (*proxytest.Nginx, *proxytest.PKI) {
	t.Helper()
	if !proxytest.FindNginx() {
		t.Skip("nginx is not installed")
	}
	etcd, err := proxytest.StartEmbedded(proxytest.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(etcd.Close)
	pki, err := proxytest.NewPKI()
	if err != nil {
		t.Fatal(err)
	}
	cert, key, err := pki.Server("localhost", "127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	p.write(t, p.path("server.crt"), string(cert))
	p.write(t, p.path("server.key"), string(key))
	nginx, err := proxytest.StartNginx(p.dir, func(addr string) string { return p.site(addr, strings.TrimPrefix(etcd.URL(), "http://")) })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nginx.Close)
	return nginx, pki
}

func (p *profile) path(name string) string { return filepath.Join(p.dir, name) }

func (p *profile) file(prefix string) string {
	return p.path(strings.ReplaceAll(prefix, "/", "_") + ".htpasswd")
}

func (p *profile) write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// site returns the nginx site with this table, in front of the etcd at an address.
func (p *profile) site(listen, etcd string) string {
	var b strings.Builder
	fmt.Fprintf(&b, `upstream etcd { server %s; }
server {
	listen %s ssl;
	ssl_certificate %s;
	ssl_certificate_key %s;
	keepalive_timeout 3600;
	keepalive_requests 1000000;
	proxy_read_timeout 365d;
	proxy_buffering off;
	error_page 401 /401.json;
	location = /401.json { internal; root %s; default_type application/json; } # as etcd writes it
	location / { client_max_body_size 20m; proxy_pass http://etcd/; proxy_set_header X-Real-IP $remote_addr; }
`, etcd, listen, p.path("server.crt"), p.path("server.key"), p.dir)
	for _, prefix := range p.prefixes {
		auth := "auth_basic off;"
		if p.users[prefix] != nil {
			auth = fmt.Sprintf("limit_except GET OPTIONS { auth_basic \"etcd\"; auth_basic_user_file %s; }", p.file(prefix))
		}
		fmt.Fprintf(&b, "\tlocation /v2/keys%s { %s proxy_set_header Host etcd; proxy_pass http://etcd/v2/keys%[1]s; }\n", prefix, auth)
	}
	return b.String() + "}\n"
}

// profileHiera is the same table in hiera; Puppet adds the rules of the pools.
const profileHiera = `profile::etcd::cluster_name: "cluster"
profile::etcd::tlsproxy::cert_name: "etcd.%{::domain}"
profile::etcd::tlsproxy::acls: { /: ["root"], /conftool: ["root", "conftool"], /eventlogging: []}
profile::etcd::tlsproxy::read_only: false
profile::etcd::tlsproxy::listen_port: 4001
profile::etcd::tlsproxy::upstream_port: 2379
profile::etcd::tlsproxy::tls_upstream: true
profile::etcd::tlsproxy::salt: "saltsalt"
profile::etcd::tlsproxy::pool_pwd_seed: "seed"
`

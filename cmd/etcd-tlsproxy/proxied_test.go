package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"etcd-tlsproxy/proxy/proxytest"
)

// proxied is a cluster whose members advertise their proxies. Each proxy is a process
// of its own.
type proxied struct {
	t       *testing.T
	etcds   *proxytest.Cluster
	sockets map[string]*os.File // of proxies, by what their members advertise
	pki     *proxytest.PKI
	proxies map[string]*process // by the name of the member
	urls    map[string]string
	// ca and password are files for the verbs.
	ca, password string
	hasty        bool
	more         string             // of each proxy's configuration
	replace      *strings.Replacer  // changes each proxy's configuration, if set
	folders      map[string]*folder // of proxies, by the name of the member
}

const proxiedConfig = `
admin = "127.0.0.1:0"
[upstream]
endpoints = ["%s"]
[tls]
certificate = "server.crt"
key = "server.key"
[auth]
htpasswd = ["htpasswd"]
[acls]
"/" = ["root"]
"/conftool" = ["root", "conftool"]
[log]
audit = "off"
`

// openMembers is configuration that lets root change the members.
const openMembers = `
[surfaces]
members = ["root"]
`

// newProxied starts n members that accept changes at once, with the etcd at path or
// embedded, and with proxies that let root change members.
func newProxied(t *testing.T, path string, n int) *proxied {
	p := &proxied{t: t, hasty: true, more: openMembers}
	p.start(path, n)
	return p
}

func (p *proxied) start(path string, n int) {
	t := p.t
	t.Helper()
	p.sockets, p.proxies, p.urls, p.folders = make(map[string]*os.File), make(map[string]*process), make(map[string]string), make(map[string]*folder)
	advertise := make([]string, n)
	for i := range advertise {
		advertise[i] = p.socket()
	}
	var err error
	p.etcds, err = proxytest.NewCluster(proxytest.ClusterOptions{Etcd: path, Dir: t.TempDir(), Advertise: advertise, Hasty: p.hasty})
	t.Cleanup(p.etcds.Close)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	p.ca, p.password = filepath.Join(dir, "ca.crt"), filepath.Join(dir, "password")
	if p.pki, err = proxytest.NewPKI(); err != nil {
		t.Fatal(err)
	}
	if err := p.pki.WriteCA(p.ca); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(p.password, []byte("root-1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for i, m := range p.etcds.Members {
		p.front(m, advertise[i])
	}
}

// socket opens the socket of a proxy. Members need its URL before the proxy starts.
func (p *proxied) socket() (url string) {
	p.t.Helper()
	file, addr := socket(p.t)
	url = "https://" + addr
	p.sockets[url] = file
	return url
}

// front starts the proxy of a member, which can have further endpoints.
func (p *proxied) front(m proxytest.Member, url string, others ...string) {
	p.t.Helper()
	config := fmt.Sprintf(proxiedConfig, strings.Join(append([]string{m.URL()}, others...), `", "`)) + p.more
	if p.replace != nil {
		config = p.replace.Replace(config)
	}
	f := newFolder(p.t, config)
	p.folders[m.Name()] = f
	cert, key, err := p.pki.Server("localhost", "127.0.0.1")
	if err != nil {
		p.t.Fatal(err)
	}
	for name, data := range map[string][]byte{"server.crt": cert, "server.key": key} {
		if err := os.WriteFile(filepath.Join(f.dir, name), data, 0o600); err != nil {
			p.t.Fatal(err)
		}
	}
	p.proxies[m.Name()], p.urls[m.Name()] = f.start("https", nil, p.sockets[url]), url
}

// verb runs a command against the first proxy, and returns its output.
func (p *proxied) verb(args ...string) (code int, stdout, stderr string) {
	p.t.Helper()
	return p.verbAt(p.urls[p.etcds.Members[0].Name()], args...)
}

func (p *proxied) verbAt(endpoint string, args ...string) (code int, stdout, stderr string) {
	var out, errs bytes.Buffer
	args = append(args, "--endpoints", endpoint)
	if p.ca != "" {
		args = append(args, "--ca-file", p.ca)
	}
	code = run(p.t.Context(), args, &out, &errs)
	return code, out.String(), errs.String()
}

// asRoot adds the flags to log in as a user who may change members.
func (p *proxied) asRoot(args ...string) []string {
	return append(args, "--username", "root", "--password-file", p.password)
}

// wants fails the test unless a command ended with a status and printed all texts.
func wants(t *testing.T, code int, stdout, stderr string, want int, texts ...string) {
	t.Helper()
	if code != want {
		t.Errorf("the command ended with status %d, want %d:\n%s%s", code, want, stdout, stderr)
	}
	for _, text := range texts {
		if !strings.Contains(stdout+stderr, text) {
			t.Errorf("the output does not contain %q:\n%s%s", text, stdout, stderr)
		}
	}
}

// eachEtcd runs a test with the installed etcd and with embedded ones.
func eachEtcd(t *testing.T, test func(t *testing.T, path string)) {
	each := func(name, path string) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, path)
		})
	}
	if path, version, ok := proxytest.FindEtcd(); ok {
		each("installed "+version, path)
	}
	each("embedded", "")
}

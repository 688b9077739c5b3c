package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"etcd-tlsproxy/proxy/proxytest"
)

// securedConfig is that of a proxy whose etcd wants a certificate and a password of it.
const securedConfig = `
admin = "127.0.0.1:0"
[upstream]
api = "v3"
endpoints = [%q]
ca = "ca.crt"
certificate = "client.crt"
key = "client.key"
user = "tree"
password_file = "tree.password"
[tls]
certificate = "server.crt"
key = "server.key"
[auth]
htpasswd = ["htpasswd"]
[acls]
"/" = ["root"]
[surfaces]
members = ["root"]
[log]
audit = "off"
`

// secured is a member that serves clients by TLS only, wants certificates of them, and has users.
type secured struct {
	*folder
	url   string // of the member
	proxy string // that it advertises
}

// startSecured starts a member of a release, with etcd's own users root, and tree who may use the tree only.
func startSecured(t *testing.T, release proxytest.Release) *secured {
	t.Helper()
	if _, err := exec.LookPath("etcdctl"); err != nil {
		t.Skip("etcdctl is not installed")
	}
	var addresses [2]string
	for i := range addresses {
		var err error
		if addresses[i], err = proxytest.FreeAddress(); err != nil {
			t.Fatal(err)
		}
	}
	file, proxy := socket(t)
	s := &secured{url: "https://" + addresses[0], proxy: "https://" + proxy}
	s.folder = newFolder(t, fmt.Sprintf(securedConfig, s.url))
	certificate, key, err := s.pki.Client("proxy")
	if err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string][]byte{"ca.crt": s.pki.CA(), "client.crt": certificate, "client.key": key, "tree.password": []byte("of-tree\n"), "root.password": []byte("of-root\n"), "proxy.password": []byte("root-1\n")} {
		if err := os.WriteFile(s.path(name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	etcd, err := proxytest.StartChild(filepath.Join(s.dir, "etcd.log"), release.Program, "--name=conf1001", "--data-dir="+s.path("data"),
		"--listen-client-urls="+s.url, "--advertise-client-urls="+s.proxy, "--listen-peer-urls=http://"+addresses[1],
		"--initial-advertise-peer-urls=http://"+addresses[1], "--initial-cluster=conf1001=http://"+addresses[1], "--strict-reconfig-check=false",
		"--cert-file="+s.path("server.crt"), "--key-file="+s.path("server.key"), "--trusted-ca-file="+s.path("ca.crt"), "--client-cert-auth")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		etcd.Signal(syscall.SIGKILL)
		<-etcd.Exited()
	})
	waitFor(t, "etcd serves", func() bool { return s.etcdctl("get", "x") == nil })
	for _, command := range []string{"user add root:of-root", "user add tree:of-tree", "role add root", "role add tree", "role grant-permission tree readwrite .v2/ 0",
		"user grant-role root root", "user grant-role tree tree", "auth enable"} {
		if err := s.etcdctl(strings.Fields(command)...); err != nil {
			t.Fatalf("etcdctl %s: %v", command, err)
		}
	}
	s.verb(0, []string{"made an empty tree"}, "migrate", "init", "--config", s.path("etcd-tlsproxy.toml"), "--yes")
	s.start("https", nil, file)
	return s
}

func (s *secured) path(name string) string { return filepath.Join(s.dir, name) }

func (s *secured) etcdctl(args ...string) error {
	cmd := exec.CommandContext(s.t.Context(), "etcdctl", append([]string{"--endpoints", s.url, "--cacert", s.path("ca.crt"), "--cert", s.path("client.crt"), "--key", s.path("client.key")}, args...)...)
	cmd.Env = append(os.Environ(), "ETCDCTL_API=3")
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	return nil
}

// verb runs a command, and checks its exit status and that its output has some texts.
func (s *secured) verb(status int, wanted []string, args ...string) {
	s.t.Helper()
	var out strings.Builder
	got := run(s.t.Context(), args, &out, &out)
	if got != status {
		s.t.Errorf("%s: got the exit status %d, want %d:\n%s", strings.Join(args, " "), got, status, &out)
	}
	for _, text := range wanted {
		if !strings.Contains(out.String(), text) {
			s.t.Errorf("%s: got\n%s\nwant that it contains %q", strings.Join(args, " "), &out, text)
		}
	}
}

// TestToolsReachASecuredStore uses the tools with an etcd that wants TLS, a certificate and a password. Etcd
// lets only root take snapshots and change members.
func TestToolsReachASecuredStore(t *testing.T) {
	for _, release := range proxytest.Releases() {
		if release.HasV2() || release.Restorer() == "" {
			continue
		}
		t.Run(release.Name, func(t *testing.T) {
			t.Parallel()
			s := startSecured(t, release)
			tls := []string{"--endpoints", s.url, "--ca-file", s.path("ca.crt"), "--cert-file", s.path("client.crt"), "--key-file", s.path("client.key")}
			root := []string{"--user", "root", "--password-file", s.path("root.password")}
			tools := []string{"--etcd", release.Program, "--etcdctl", release.Restorer()}
			proxied := []string{"--endpoints", s.proxy, "--ca-file", s.path("ca.crt"), "--user", "root", "--password-file", s.path("proxy.password")}
			backup := slices.Concat([]string{"backup", "--config", s.path("etcd-tlsproxy.toml")}, tools)

			s.verb(0, []string{"cluster is healthy: 1 of 1 members"}, slices.Concat([]string{"cluster-health"}, proxied)...)
			s.verb(1, []string{"answers 403: etcd refuses: only a user with etcd's role root may change members", "(hint: make the change with etcdctl"},
				slices.Concat([]string{"member", "add", "conf1002", "http://127.0.0.1:1", "--api", "v3", "--yes"}, proxied)...)
			s.verb(1, []string{"name one with --user and --password-file"}, slices.Concat(backup, []string{"--dir", s.path("none")})...)
			s.verb(0, []string{"a snapshot of the v3 store"}, slices.Concat(backup, root, tls, []string{"--dir", s.path("tls")})...)
			s.verb(0, []string{"verified: an etcd that was started on a copy has the same keys"}, slices.Concat(backup, root, []string{"--verify", "--dir", s.path("backups")})...)
			made, err := filepath.Glob(s.path("backups/etcd-*"))
			if err != nil || len(made) != 1 {
				t.Fatalf("got the backups %v, %v; want one", made, err)
			}
			verify := slices.Concat([]string{"backup", "verify", made[0]}, tools)
			s.verb(0, []string{"unknown: whether an etcd restores it", "(hint: name a user of etcd with the role root"}, verify...)
			s.verb(0, []string{"is good: all 1 file"}, slices.Concat(verify, root)...)
			restore := slices.Concat([]string{"restore-member", "--backup", made[0], "--into", s.path("restored"), "--name", "conf1001", "--peer-url", "http://127.0.0.1:2380",
				"--initial-cluster-token", "t", "--raise-indexes", "1000"}, tools)
			s.verb(1, []string{"name a user of etcd with the role root"}, restore...)
			s.verb(0, []string{"is the data folder of conf1001"}, slices.Concat(restore, root)...)
			s.verb(1, []string{"with etcdctl member add if upstream.user of the proxies has not the role root"},
				"recover", "--backup", made[0], "--members", "conf1001=localhost", "--data-dir", s.path("other"))
		})
	}
}

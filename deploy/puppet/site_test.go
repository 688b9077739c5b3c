package puppet

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strings"
	"testing"

	"etcd-tlsproxy/proxy/proxytest"
)

// The exit statuses of `puppet apply --detailed-exitcodes`. failed is a bit.
const (
	unchanged = 0
	changed   = 2
	failed    = 4
)

// site is a folder with the files of a host and of its Puppet server. Nothing outside of it is
// changed.
type site struct {
	t      *testing.T
	dir    string
	pki    *proxytest.PKI
	last   bytes.Buffer // the output of the last run of puppet
	all    bytes.Buffer // the output of all runs
	url    string       // of the service
	listen string
	admin  string
	log    string // of the service, until it serves
}

func newSite(t *testing.T) *site {
	t.Helper()
	for _, tool := range []string{"puppet", "curl"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skip(tool + " is not installed")
		}
	}
	s := &site{t: t, dir: t.TempDir()}
	// A site has the modules in its own tree. Reading them in the test also records them as
	// dependencies in Go's test cache.
	if err := os.CopyFS(s.path("modules"), os.DirFS(".")); err != nil {
		t.Fatal(err)
	}
	build := exec.Command("go", "build", "-o", s.path("etcd-tlsproxy"), "etcd-tlsproxy/cmd/etcd-tlsproxy")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("building the program: %v\n%s", err, out)
	}
	var err error
	if s.pki, err = proxytest.NewPKI(); err != nil {
		t.Fatal(err)
	}
	cert, key, err := s.pki.Server("127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	s.write("ssl/localcerts/etcd.example.org.chained.crt", string(cert))
	s.write("ssl/private/etcd.example.org.key", string(key))
	s.listen, s.admin = freePort(t), "127.0.0.1:"+freePort(t)
	s.url = "https://127.0.0.1:" + s.listen
	return s
}

func freePort(t *testing.T) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	_, port, err := net.SplitHostPort(ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return port
}

func (s *site) path(name string) string { return filepath.Join(s.dir, name) }

func (s *site) write(name, content string) {
	s.t.Helper()
	if err := os.MkdirAll(filepath.Dir(s.path(name)), 0o700); err != nil {
		s.t.Fatal(err)
	}
	if err := os.WriteFile(s.path(name), []byte(content), 0o600); err != nil {
		s.t.Fatal(err)
	}
}

// writeScratch writes hiera data that keeps all paths and ports inside the test.
func (s *site) writeScratch(etcd string) {
	s.t.Helper()
	at, err := url.Parse(etcd)
	if err != nil {
		s.t.Fatal(err)
	}
	me, err := user.Current()
	if err != nil {
		s.t.Fatal(err)
	}
	validator := "" // only root can become another user, or itself
	if me.Uid == "0" {
		validator = me.Username
	}
	s.write("hiera/scratch.yaml", fmt.Sprintf(`
profile::etcd::tlsproxy::listen_port: %s
profile::etcd::tlsproxy::upstream_port: %s
profile::etcd::tlsproxy::pools: { eqiad: [testserver, appserver] }
profile::etcd::tlsproxy::ssl_dir: %s
profile::etcd::tlsproxy::user_groups: []
etcd_tlsproxy::admin: %s
etcd_tlsproxy::config_dir: %s
etcd_tlsproxy::binary: %s
etcd_tlsproxy::validate_user: "%s"
etcd_tlsproxy::owner: "%s"
etcd_tlsproxy::group: "%s"
etcd_tlsproxy::manage_package: false
etcd_tlsproxy::manage_service: false
etcd_tlsproxy::reload_command: "/bin/sh -c 'test ! -e %s || curl -fsS -X POST http://%s/-/reload'"
`, s.listen, at.Port(), s.path("ssl"), s.admin, s.path("etc"), s.path("etcd-tlsproxy"), validator, me.Uid, me.Gid, s.path("running"), s.admin))
	s.write("hiera.yaml", `
version: 5
defaults: { datadir: hiera, data_hash: yaml_data }
hierarchy:
  - { name: everything, paths: [seed.yaml, private.yaml, scratch.yaml] }
`)
	s.write("site.pp", "include profile::etcd::tlsproxy\n")
}

// apply runs puppet with diffs and a report, and returns its exit status. It does not use --debug,
// with which puppet prints hiera data, including passwords, whatever a module does.
func (s *site) apply() int {
	s.t.Helper()
	s.last.Reset()
	cmd := exec.Command("puppet", "apply", "--detailed-exitcodes", "--verbose", "--show_diff", "--color=false", "--strict=error",
		"--reports=store", "--confdir", s.path("conf"), "--vardir", s.path("var"), "--modulepath", s.path("modules"),
		"--hiera_config", s.path("hiera.yaml"), s.path("site.pp"))
	cmd.Env = append(os.Environ(), "FACTER_domain=example.org")
	cmd.Stdout, cmd.Stderr = io.MultiWriter(&s.last, &s.all), io.MultiWriter(&s.last, &s.all)
	err := cmd.Run()
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		s.t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode()
}

// lastOutput returns the output of the last run without messages about this machine.
func (s *site) lastOutput() string {
	var lines []string
	for line := range strings.Lines(s.last.String()) {
		if !strings.Contains(line, "Facter: ") {
			lines = append(lines, line)
		}
	}
	return strings.Join(lines, "")
}

// files returns the content of all files that puppet has written for the service.
func (s *site) files() string {
	s.t.Helper()
	entries, err := os.ReadDir(s.path("etc"))
	if err != nil {
		s.t.Fatal(err)
	}
	var b strings.Builder
	for _, entry := range entries {
		data, err := os.ReadFile(filepath.Join(s.path("etc"), entry.Name()))
		if err != nil {
			s.t.Fatal(err)
		}
		fmt.Fprintf(&b, "== %s\n%s", entry.Name(), data)
	}
	return b.String()
}

// serve runs the program with the files that puppet has written until the test ends. It waits
// until the program serves.
func (s *site) serve() {
	s.t.Helper()
	cmd := exec.Command(s.path("etcd-tlsproxy"), "serve", "--config", s.path("etc/etcd-tlsproxy.toml"))
	out, err := cmd.StderrPipe()
	if err != nil {
		s.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	s.write("running", "")
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		s.log += lines.Text() + "\n"
		if strings.Contains(lines.Text(), "msg=serving") {
			go func() { _, _ = io.Copy(io.Discard, out) }() // a full pipe would block the program
			return
		}
	}
	s.t.Fatalf("starting the program: it exited before it served; log:\n%s", s.log)
}

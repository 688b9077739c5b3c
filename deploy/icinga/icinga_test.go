// Package icinga tests the checks of this folder with a real Icinga and the real plugins.
package icinga

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"etcd-tlsproxy/proxy/proxytest"
)

// baseConfig is the rest of an Icinga configuration, with a host that uses every check.
const baseConfig = `
const PluginDir = "/usr/lib/nagios/plugins"
const NodeName = "icinga.example.org"
const ZoneName = NodeName
include <itl>
include <plugins>
object Endpoint NodeName { }
object Zone ZoneName { endpoints = [ NodeName ] }
object Endpoint "conf1001.example.org" { }
object Zone "conf1001.example.org" {
	parent = ZoneName
	endpoints = [ "conf1001.example.org" ]
}
object Host "conf1001.example.org" {
	check_command = "dummy"
	zone = "conf1001.example.org"
	address = "127.0.0.1"
	vars.etcd_tlsproxy = true
	vars.etcd_cluster = true
	vars.agent_endpoint = name
}
`

func TestIcingaAcceptsTheChecks(t *testing.T) {
	if _, err := exec.LookPath("icinga2"); err != nil {
		t.Skip("icinga2 is not installed")
	}
	dir := t.TempDir()
	me, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	checks, err := os.ReadFile("etcd-tlsproxy.conf")
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "icinga2.conf"), baseConfig+string(checks))
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "icinga2", "daemon", "-C", "-c", filepath.Join(dir, "icinga2.conf"),
		"-D", "DataDir="+dir, "-D", "CacheDir="+dir, "-D", "LogDir="+dir, "-D", "InitRunDir="+dir, "-D", "SpoolDir="+dir)
	cmd.Env = append(os.Environ(), "ICINGA2_USER="+me.Username, "ICINGA2_GROUP="+me.Username)
	out, err := cmd.CombinedOutput()
	if err != nil || strings.Contains(string(out), "warning/") {
		t.Errorf("icinga2 daemon -C: got %v, want success without warnings; output:\n%s", err, out)
	}
	if want := "Instantiated 4 Services."; !strings.Contains(string(out), want) {
		t.Errorf("icinga2 daemon -C: got no %q in its output:\n%s", want, out)
	}
}

// command matches a command of the NRPE configuration.
var command = regexp.MustCompile(`(?m)^command\[([a-z_]+)\]=(.*)$`)

func TestTheHostsOwnChecksTellWhetherItServes(t *testing.T) {
	if _, err := os.Stat("/usr/lib/nagios/plugins/check_http"); err != nil {
		t.Skip("the monitoring plugins are not installed")
	}
	s := newService(t)
	s.check("check_etcd_tlsproxy_ready", 2, "CRITICAL", "refused")
	stop := s.start()
	s.check("check_etcd_tlsproxy_ready", 0, "HTTP OK")
	if help, err := exec.Command(s.program, "cluster-health", "--help").CombinedOutput(); err == nil && strings.Contains(string(help), "--nagios") {
		s.check("check_etcd_cluster", 1, "ETCD WARNING", "1 of 1 members healthy")
		stop()
		s.check("check_etcd_cluster", 2, "ETCD CRITICAL")
	}
}

// service is an etcd of one member that advertises the address of a proxy. The method start
// runs the proxy.
type service struct {
	t             *testing.T
	dir, program  string
	listen, admin string
}

func newService(t *testing.T) *service {
	t.Helper()
	dir := t.TempDir()
	s := &service{t: t, dir: dir, program: filepath.Join(dir, "etcd-tlsproxy"), listen: freePort(t), admin: freePort(t)}
	if out, err := exec.Command("go", "build", "-o", s.program, "etcd-tlsproxy/cmd/etcd-tlsproxy").CombinedOutput(); err != nil {
		t.Fatalf("building the program: %v\n%s", err, out)
	}
	etcd, err := proxytest.StartEmbedded(proxytest.Options{Dir: filepath.Join(dir, "etcd"), Advertise: "https://localhost:" + s.listen})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(etcd.Close)
	pki, err := proxytest.NewPKI()
	if err != nil {
		t.Fatal(err)
	}
	cert, key, err := pki.Server("localhost")
	if err != nil {
		t.Fatal(err)
	}
	if err := pki.WriteCA(filepath.Join(dir, "ca.pem")); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "server.pem"), string(cert)+string(key))
	write(t, filepath.Join(dir, "etcd-tlsproxy.toml"), fmt.Sprintf(`
listen = "127.0.0.1:%s"
admin = "127.0.0.1:%s"
[upstream]
endpoints = [%q]
[tls]
certificate = "server.pem"
key = "server.pem"
`, s.listen, s.admin, etcd.URL()))
	return s
}

// start runs the proxy until stop is called or the test ends. It waits until the proxy serves.
func (s *service) start() (stop func()) {
	s.t.Helper()
	cmd := exec.Command(s.program, "serve", "--config", filepath.Join(s.dir, "etcd-tlsproxy.toml"))
	out, err := cmd.StderrPipe()
	if err != nil {
		s.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	stop = func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}
	s.t.Cleanup(stop)
	log := ""
	for lines := bufio.NewScanner(out); !strings.Contains(log, "msg=serving"); {
		if !lines.Scan() {
			s.t.Fatalf("starting the program: it exited before it served; log:\n%s", log)
		}
		log += lines.Text() + "\n"
	}
	go func() { _, _ = io.Copy(io.Discard, out) }() // a full pipe would block the program
	return stop
}

// check runs a command of the NRPE configuration with the addresses and the CA of this service.
// It checks the exit status, and that the output contains each text.
func (s *service) check(name string, want int, texts ...string) {
	s.t.Helper()
	file, err := os.ReadFile("etcd-tlsproxy.nrpe.cfg")
	if err != nil {
		s.t.Fatal(err)
	}
	for _, match := range command.FindAllStringSubmatch(string(file), -1) {
		if match[1] != name {
			continue
		}
		line := strings.NewReplacer("4001", s.listen, "4002", s.admin, "/usr/bin/etcd-tlsproxy", s.program).Replace(match[2])
		cmd := exec.Command("sh", "-c", line)
		cmd.Env = append(os.Environ(), "SSL_CERT_FILE="+filepath.Join(s.dir, "ca.pem"))
		out, err := cmd.CombinedOutput()
		if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
			s.t.Fatal(err)
		}
		if code := cmd.ProcessState.ExitCode(); code != want {
			s.t.Errorf("%s: got the exit status %d, want %d; output:\n%s", line, code, want, out)
		}
		for _, text := range texts {
			if !strings.Contains(string(out), text) {
				s.t.Errorf("%s: got an output without %q:\n%s", line, text, out)
			}
		}
		return
	}
	s.t.Fatalf("etcd-tlsproxy.nrpe.cfg: got no command %s, want one", name)
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

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

package daemon

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/config"
	"etcd-tlsproxy/proxy/proxytest"
)

// newTestFolder writes a configuration with a certificate, and returns its path. text comes
// first, so that its lines have their own numbers.
func newTestFolder(t *testing.T, dir, text string) string {
	t.Helper()
	pki, err := proxytest.NewPKI()
	if err != nil {
		t.Fatal(err)
	}
	cert, key, err := pki.Server("localhost")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(dir, "folder"), 0o700); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "etcd-tlsproxy.toml")
	for file, content := range map[string]string{
		filepath.Join(dir, "server.crt"): string(cert), filepath.Join(dir, "server.key"): string(key),
		path: text + "\n[tls]\ncertificate = \"server.crt\"\nkey = \"server.key\"\n",
	} {
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return path
}

// TestWhatServeRefusesIsReportedByTheCheckBeforeIt gives each configuration to the check,
// with and without --start, and to serve itself.
func TestWhatServeRefusesIsReportedByTheCheckBeforeIt(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	dir := t.TempDir()
	for _, c := range []struct{ what, config, want string }{
		{"an address of another machine", `listen = "192.0.2.1:0"`, `:1: listen: this machine does not have the address 192.0.2.1 (hint: `},
		{"an address of another machine for admin", `admin = "[2001:db8::1]:0"`, `:1: admin: this machine does not have the address 2001:db8::1`},
		{"a host without an address", `listen = "no-such-host.invalid:0"`, `:1: listen: the host "no-such-host.invalid" has no address: `},
		{"a zone that does not exist", `listen = "[fe80::1%nowhere]:0"`, "the zone of fe80::1%nowhere is not a network interface"},
		{"a link-local address without a zone", `listen = "[fe80::1]:0"`, "the address fe80::1 needs a zone"},
		{"one address for both", "listen = \"127.0.0.1:4001\"\nadmin = \"127.0.0.1:4001\"", ":2: admin: the address 127.0.0.1:4001 is also that of listen, 127.0.0.1:4001"},
		{"admin within all addresses", "listen = \"*:4001\"\nadmin = \"127.0.0.1:4001\"", ":2: admin: the address 127.0.0.1:4001 is also that of listen, :4001"},
		{"admin within all IPv4 addresses", "listen = \"0.0.0.0:4001\"\nadmin = \"127.0.0.1:4001\"", "is also that of listen"},
		{"listen within admin", "listen = \"[::1]:4001\"\nadmin = \":4001\"", "is also that of listen"},
		{"a folder of a log that does not exist", "[log]\naccess = \"missing/access.log\"", ":2: log.access: " + filepath.Join(dir, "missing/access.log") + " cannot be created: no such file or directory (hint: "},
		{"a folder instead of a log", "[log]\naudit = \"folder\"", ":2: log.audit: " + filepath.Join(dir, "folder") + " is a folder"},
		{"an address in use", fmt.Sprintf("listen = %q", taken.Addr()), "address already in use"},
	} {
		f := newTestFolder(t, dir, c.config)
		_, err := Check(t.Context(), CheckOptions{File: f, Start: true})
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: a check with --start: got the error %v, want %q", c.what, err, c.want)
		}
		report, err := Check(t.Context(), CheckOptions{File: f})
		if err != nil {
			t.Errorf("%s: a check: got the error %v, want none, because a reload would succeed", c.what, err)
			continue
		}
		if c.what == "an address in use" {
			if len(report.Local) > 0 {
				t.Errorf("%s: a check: got the warnings %v, want none: the service itself may use it", c.what, report.Local)
			}
		} else if all := strings.Join(report.Local, "\n"); !strings.Contains(all, "a start would fail, but not a reload: ") {
			t.Errorf("%s: a check: got the warnings %s, want one about a start", c.what, all)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		err = Run(ctx, Options{File: f, Stdout: io.Discard, Stderr: io.Discard})
		cancel()
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: serve: got the error %v, want %q", c.what, err, c.want)
		}
	}
	f := newTestFolder(t, dir, "listen = \"*:0\"\nadmin = \"localhost:0\"\n[log]\naudit = \"audit.log\"")
	if report, err := Check(t.Context(), CheckOptions{File: f, Start: true}); err != nil || len(report.Local) > 0 {
		t.Errorf("a good configuration: got %+v and the error %v, want no warning", report, err)
	}
	if _, err := os.Stat(filepath.Join(dir, "audit.log")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the log after a check: got the error %v, want that it was not created", err)
	}
	// With sockets of the service manager the addresses are not used.
	t.Setenv("LISTEN_PID", fmt.Sprint(os.Getpid()))
	t.Setenv("LISTEN_FDS", "1")
	f = newTestFolder(t, dir, `listen = "192.0.2.1:1"`)
	if report, err := Check(t.Context(), CheckOptions{File: f, Start: true}); err != nil || len(report.Local) > 0 {
		t.Errorf("a process with sockets: got %+v and the error %v, want no warning", report, err)
	}
}

func TestACheckAdvises(t *testing.T) {
	dir := t.TempDir()
	f := newTestFolder(t, dir, "[limits]\nconnections = 10000000\naddress_connections = 1\n[acls]\n\"/v2/keys/conftool\" = []")
	if err := os.Chmod(filepath.Join(dir, "server.key"), 0o644); err != nil {
		t.Fatal(err)
	}
	report, err := Check(t.Context(), CheckOptions{File: f})
	if err != nil {
		t.Fatal(err)
	}
	all := strings.Join(append(report.Local, report.Warnings...), "\n")
	for _, want := range []string{
		"tls.key: " + filepath.Join(dir, "server.key") + " can be read by every user of this machine (hint: chmod 640",
		`acls."/v2/keys/conftool": the rule is about a key /v2/keys/conftool, but in a path keys begin behind /v2/keys (hint: write "/conftool")`,
		"limits.connections: 10000000 connections need more open files",
	} {
		if !strings.Contains(all, want) {
			t.Errorf("warnings: got\n%s\nwant %q", all, want)
		}
	}
}

func TestAnAddressInUseIsNamedWithItsKey(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	for key, c := range map[string]*config.Config{"listen": {Listen: taken.Addr().String()}, "admin": {Listen: "127.0.0.1:0", Admin: taken.Addr().String()}} {
		want := "listening at the address of the key " + key + ": listen tcp " + taken.Addr().String() + ": bind: address already in use (hint: ss -tlnp shows"
		if _, err := openSockets(c); err == nil || !strings.HasPrefix(err.Error(), want) || !strings.HasSuffix(err.Error(), "change the key "+key+")") {
			t.Errorf("%s at an address in use: got the error %v, want %s", key, err, want)
		}
	}
}

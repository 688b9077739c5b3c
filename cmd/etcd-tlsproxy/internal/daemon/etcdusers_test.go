package daemon_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/daemon/daemontest"
	"etcd-tlsproxy/proxy/proxytest"
)

// enableUsers enables etcd's own users: root with the password secret.
func enableUsers(t testing.TB, etcd string) {
	t.Helper()
	put(t, etcd+"/v2/auth/users/root", `{"user":"root","password":"secret"}`)
	put(t, etcd+"/v2/auth/enable", "")
}

func put(t testing.TB, url, body string) {
	t.Helper()
	req, err := http.NewRequest("PUT", url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if text, err := io.ReadAll(resp.Body); err != nil || resp.StatusCode >= 300 {
		t.Fatalf("PUT %s: got status %d with %q, %v; want success", url, resp.StatusCode, text, err)
	}
}

// withUpstream returns the small configuration with more keys in [upstream].
func withUpstream(etcd, more string) string {
	return strings.Replace(fmt.Sprintf(daemontest.SeedConfig, etcd), "[tls]\n", more+"[tls]\n", 1)
}

func TestTheProxyActsAsItsOwnUserOfEtcd(t *testing.T) {
	t.Parallel()
	etcd, err := proxytest.StartEmbedded(proxytest.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(etcd.Close)
	enableUsers(t, etcd.URL())
	s := startService(t, withUpstream(etcd.URL(), ""))
	s.Write("etcd.password", "wrong\n")
	s.Write("etcd-tlsproxy.toml", withUpstream(etcd.URL(), "user = \"root\"\npassword_file = \"etcd.password\"\n"))
	s.Eventually("etcd refuses the wrong password", func() bool { return s.Put("conftool", "conftool-1") == 401 })
	s.Write("etcd.password", "secret\r\nnot the password\n")
	s.Eventually("etcd accepts the new password", func() bool { return s.Put("conftool", "conftool-1") < 300 })
	if log := s.Log.String(); strings.Contains(log, "secret") || strings.Contains(log, "wrong") {
		t.Errorf("the log contains a password of etcd's user:\n%s", log)
	}
	s.Write("etcd.password", "\nsecret\n")
	s.Eventually("an empty password is refused", func() bool {
		return strings.Contains(s.Log.String(), "etcd.password: the first line is empty")
	})
}

func TestCheckConfigSaysWhatEtcdReceives(t *testing.T) {
	t.Parallel()
	e := newSecureEtcd(t)
	e.write("etcd.password", []byte("secret"))
	for more, want := range map[string]string{
		"":                            "",
		"credentials = \"forward\"\n": "etcd receives the credentials of clients",
		"user = \"root\"\npassword_file = \"etcd.password\"\n": `etcd receives all requests as from its user "root"`,
	} {
		report, err := e.check(e.upstream(e.certificate() + more))
		if err != nil || !strings.Contains(report.Origin, want) || want == "" && report.Origin != "" {
			t.Errorf("checking a configuration with %q: got %+v, %v; want %q in Origin", more, report, err, want)
		}
	}
}

func TestAnOpenedSurfaceThatCannotEnableEtcdsUsersIsWarnedOf(t *testing.T) {
	t.Parallel()
	e := newSecureEtcd(t)
	e.write("etcd.password", []byte("secret"))
	for more, want := range map[string]bool{
		"":                            true,
		"credentials = \"forward\"\n": false,
		"user = \"root\"\npassword_file = \"etcd.password\"\n":     false,
		"user = \"conftool\"\npassword_file = \"etcd.password\"\n": true,
	} {
		report, err := e.check(e.upstream(e.certificate()+more) + "[surfaces]\nauth = [\"root\"]\n")
		if err != nil || strings.Contains(strings.Join(report.Warnings, "\n"), "surfaces.auth: etcd's own users cannot be enabled") != want {
			t.Errorf("checking an opened surface auth with %q: got %+v, %v; want a warning: %t", more, report, err, want)
		}
	}
}

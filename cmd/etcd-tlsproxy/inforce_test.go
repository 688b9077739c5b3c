package main

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http/httptest"
	"strings"
	"testing"

	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/daemon/daemontest"
)

// serveAt starts a service whose admin address is in its configuration.
func serveAt(t *testing.T) *daemontest.Service {
	t.Helper()
	etcd := httptest.NewServer(nil)
	t.Cleanup(etcd.Close)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	admin := ln.Addr().String()
	ln.Close()
	return daemontest.Start(t, strings.Replace(fmt.Sprintf(daemontest.SeedConfig, etcd.URL), `admin = "127.0.0.1:0"`, fmt.Sprintf("admin = %q", admin), 1))
}

// remove runs passwd remove, and returns its exit status and what it wrote.
func remove(t *testing.T, configFile, htpasswd, user string) (int, string) {
	t.Helper()
	var out bytes.Buffer
	code := run(t.Context(), []string{"passwd", "remove", "--yes", "--config", configFile, htpasswd, user}, &out, &out)
	return code, out.String()
}

func TestPasswdWaitsUntilItsChangeIsInForce(t *testing.T) {
	s := serveAt(t)
	if got := s.Put("conftool", "conftool-1"); got == 401 {
		t.Fatalf("a write before the removal: got status %d, want another one", got)
	}
	if code, out := remove(t, s.Path("etcd-tlsproxy.toml"), s.Path("htpasswd"), "conftool"); code != 0 {
		t.Errorf("passwd remove: got exit status %d with %q, want 0", code, out)
	}
	if got := s.Put("conftool", "conftool-1"); got != 401 {
		t.Errorf("a write right after the command: got status %d, want 401", got)
	}
}

// breakTable puts a mistake into the table.
func breakTable(s *daemontest.Service) {
	s.Write("etcd-tlsproxy.toml", strings.Replace(s.Read("etcd-tlsproxy.toml"), `"/eventlogging"`, `"eventlogging"`, 1))
}

func TestPasswdRemovesAUserInSpiteOfAMistakeInTheTable(t *testing.T) {
	s := serveAt(t)
	breakTable(s)
	code, out := remove(t, s.Path("etcd-tlsproxy.toml"), s.Path("htpasswd"), "conftool")
	if code != 0 || !strings.Contains(out, "the password is refused; ") || !strings.Contains(out, "etcd-tlsproxy.toml:") || !strings.Contains(out, "not a valid prefix") {
		t.Errorf("passwd remove beside a mistake in the table: got exit status %d with %q, want 0 with the mistake", code, out)
	}
	if got := s.Put("conftool", "conftool-1"); got != 401 {
		t.Errorf("a write right after the command: got status %d, want 401", got)
	}
	s.Write("etcd-tlsproxy.toml", "listen = ")
	code, out = remove(t, s.Path("etcd-tlsproxy.toml"), s.Path("htpasswd"), "root")
	if code != 1 || !strings.Contains(out, "etcd-tlsproxy.toml:1: ") || !strings.Contains(out, "acts within two seconds all the same: the password is refused") {
		t.Errorf("passwd remove beside a configuration that is no TOML: got exit status %d with %q, want 1", code, out)
	}
	s.Eventually("the password of root is refused", func() bool { return s.Put("root", "root-1") == 401 })
}

func TestPasswdSaysThatItsChangeIsNotInForce(t *testing.T) {
	s := serveAt(t)
	breakTable(s)
	for _, c := range []struct{ action, user, want string }{
		{"change", "conftool", "the old password is refused, and the new one does not work yet; "},
		{"add", "alice", "the password does not work yet; "},
	} {
		root := newRoot()
		root.SetIn(strings.NewReader("another password\n"))
		root.SetOut(io.Discard)
		root.SetErr(io.Discard)
		root.SetArgs([]string{"passwd", c.action, "--stdin", "--cost", "4", "--config", s.Path("etcd-tlsproxy.toml"), s.Path("htpasswd"), c.user})
		text := fmt.Sprint(root.ExecuteContext(t.Context()))
		if want := "the change is not in force: " + c.want; !strings.Contains(text, want) || !strings.Contains(text, "etcd-tlsproxy.toml:") || !strings.Contains(text, "not a valid prefix") {
			t.Errorf("passwd %s beside a mistake in the table: got the error %q, want %q and the mistake", c.action, text, want)
		}
		if got := s.Put(c.user, "another password"); got != 401 {
			t.Errorf("a write by %s with the new password: got status %d, want 401", c.user, got)
		}
	}
	if got := s.Put("conftool", "conftool-1"); got != 401 {
		t.Errorf("a write with the old password: got status %d, want 401", got)
	}
}

func TestPasswdSaysThatARemovedUserStillHasAccess(t *testing.T) {
	s := serveAt(t)
	s.Write("others", "")
	s.Write("etcd-tlsproxy.toml", strings.Replace(s.Read("etcd-tlsproxy.toml"), `["htpasswd"]`, `["htpasswd", "others"]`, 1))
	if status, body := s.Admin("POST", "/-/reload"); status != 200 {
		t.Fatalf("reload: got status %d with %q, want 200", status, body)
	}
	s.Write("others", "alice:a hash of no scheme\n")
	code, out := remove(t, s.Path("etcd-tlsproxy.toml"), s.Path("htpasswd"), "conftool")
	if code != 1 || !strings.Contains(out, "the change is not in force: the password still works; ") || !strings.Contains(out, `others:1: user "alice"`) {
		t.Errorf("passwd remove beside another file with a mistake: got exit status %d with %q, want 1 with the mistake", code, out)
	}
	if got := s.Put("conftool", "conftool-1"); got == 401 {
		t.Errorf("a write after the command: got status %d, want another one", got)
	}
}

func TestARemovalNamesTheRulesThatStay(t *testing.T) {
	s := serveAt(t)
	s.Write("etcd-tlsproxy.toml", strings.Replace(s.Read("etcd-tlsproxy.toml"), "[limits]", "[surfaces]\nmembers = [\"conftool\"]\n[limits]", 1))
	if code, out := remove(t, s.Path("etcd-tlsproxy.toml"), s.Path("htpasswd"), "conftool"); code != 0 || !strings.Contains(out, `still named by acls."/conftool", surfaces.members, `) {
		t.Errorf("passwd remove: got exit status %d with %q, want 0 with the rule and the surface", code, out)
	}
	s.WriteUsers(map[string]string{"root": "root-1", "other": "other-1"})
	if code, out := remove(t, s.Path("etcd-tlsproxy.toml"), s.Path("htpasswd"), "other"); code != 0 || strings.Contains(out, "named by") {
		t.Errorf("passwd remove of a user in no rule: got exit status %d with %q, want 0 and no rule", code, out)
	}
}

func TestPasswdNeedsNoRunningProxy(t *testing.T) {
	s := serveAt(t)
	s.Close()
	for what, configFile := range map[string]string{"a proxy that does not run": s.Path("etcd-tlsproxy.toml"), "no configuration": s.Path("none.toml")} {
		s.WriteUsers(map[string]string{"root": "root-1", "conftool": "conftool-1"})
		if code, out := remove(t, configFile, s.Path("htpasswd"), "conftool"); code != 0 {
			t.Errorf("passwd remove with %s: got exit status %d with %q, want 0", what, code, out)
		}
	}
}

package main

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/daemon/daemontest"
)

func TestReadyAsksTheAdminAddress(t *testing.T) {
	s := daemontest.New(t, daemontest.Echo) // not an etcd
	config := strings.Replace(fmt.Sprintf(daemontest.SeedConfig, "http://127.0.0.1:1"), `admin = "127.0.0.1:0"`, fmt.Sprintf("admin = %q", strings.TrimPrefix(s.AdminURL, "http://")), 1)
	s.Write("other.toml", config)
	s.Write("web.toml", "admin_web_config = \"admin.yml\"\n"+config)
	check := func(want int, says string, args ...string) {
		t.Helper()
		var out, errs bytes.Buffer
		if code := run(t.Context(), append([]string{"ready"}, args...), &out, &errs); code != want || !strings.Contains(out.String()+errs.String(), says) {
			t.Errorf("ready %v: got status %d with %q and %q, want %d with %q", args, code, out.String(), errs.String(), want, says)
		}
	}
	check(0, "ready", "--admin", s.AdminURL)
	check(0, "ready", "--config", s.Path("other.toml"))
	check(1, "503: no etcd is available", "--admin", s.AdminURL, "--etcd")
	check(1, "connection refused", "--admin", "http://127.0.0.1:1")
	check(1, "give the URL with --admin", "--config", s.Path("web.toml"))
	check(1, "no such file", "--config", s.Path("nothing.toml"))
	s.Admin("POST", "/-/drain?on")
	check(1, "503: emptying, by POST", "--admin", s.AdminURL)
}

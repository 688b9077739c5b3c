package main

import (
	"bytes"
	"encoding/json"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/daemon/daemontest"
	"etcd-tlsproxy/proxy/proxytest"
)

// TestAnEtcdStartsFromWhatBootstrapWrites reads the file like a service manager.
func TestAnEtcdStartsFromWhatBootstrapWrites(t *testing.T) {
	path, _, ok := proxytest.FindEtcd()
	if !ok {
		t.Skip("no etcd 3.4 or 3.5 is installed")
	}
	t.Parallel()
	dir := t.TempDir()
	file, client, peer := filepath.Join(dir, "etcd"), freeAddress(t), freeAddress(t)
	args := []string{"bootstrap", "--cluster-name", "conf", "--members", "conf1001=" + peer + ",conf1002=127.0.0.2", "--first", "conf1001", "--write", file,
		"--data-dir", filepath.Join(dir, "data"), "--listen-peer", "127.0.0.1", "--listen-client", "http://" + client}
	var out, errs bytes.Buffer
	code := run(t.Context(), args, &out, &errs)
	wants(t, code, out.String(), errs.String(), 0, file+": written")
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	etcd := exec.Command(path)
	for line := range strings.Lines(string(text)) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		etcd.Env = append(etcd.Env, name+"="+strings.Trim(value, `"`))
	}
	log := &daemontest.Output{}
	etcd.Stdout, etcd.Stderr = log, log
	etcd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := etcd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = etcd.Process.Kill()
		_ = etcd.Wait()
	}()
	var members struct {
		Members []struct {
			Name                 string
			PeerURLs, ClientURLs []string
		}
	}
	waitFor(t, "etcd serves; it says "+log.String(), func() bool {
		resp, err := http.Get("http://" + client + "/v2/members")
		if err != nil {
			return false
		}
		defer resp.Body.Close()
		return json.NewDecoder(resp.Body).Decode(&members) == nil && len(members.Members) == 1 && members.Members[0].Name != ""
	})
	if m := members.Members[0]; m.Name != "conf1001" || m.ClientURLs[0] != "https://127.0.0.1:4001" || m.PeerURLs[0] != "http://"+peer {
		t.Errorf("the member of the started etcd: got %+v, want conf1001 with the URLs of the settings", m)
	}
}

func freeAddress(t *testing.T) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	return ln.Addr().String()
}

func TestMembersWithAV3StoreAreNotToldToServeTheV2API(t *testing.T) {
	for api, want := range map[string]bool{"v2": true, "v3": false} {
		var out, errs bytes.Buffer
		args := []string{"bootstrap", "--cluster-name", "conf", "--members", "conf1001=conf1001.example.org", "--api", api}
		if code := run(t.Context(), args, &out, &errs); code != 0 || strings.Contains(out.String(), `ETCD_ENABLE_V2="true"`) != want {
			t.Errorf("bootstrap --api %s: got status %d and %s%s, want ETCD_ENABLE_V2 %t", api, code, &out, &errs, want)
		}
	}
	var out, errs bytes.Buffer
	if code := run(t.Context(), []string{"bootstrap", "--members", "a=b", "--api", "v4"}, &out, &errs); code != 2 || !strings.Contains(errs.String(), "want v2 or v3") {
		t.Errorf("bootstrap --api v4: got status %d and %s, want 2 and the choices", code, &errs)
	}
}

// TestBootstrapNamesWhatTLSOfEtcdNeeds checks a warning about what etcd itself would say only when it starts.
func TestBootstrapNamesWhatTLSOfEtcdNeeds(t *testing.T) {
	for listen, want := range map[string]bool{"https://127.0.0.1:2379": true, "http://127.0.0.1:2379": false} {
		var out, errs strings.Builder
		code := run(t.Context(), []string{"bootstrap", "--members", "a=b", "--listen-client", listen}, &out, &errs)
		if code != 0 || strings.Contains(errs.String(), "without ETCD_CERT_FILE and ETCD_KEY_FILE") != want {
			t.Errorf("bootstrap --listen-client %s: got status %d and %s, want a warning: %t", listen, code, &errs, want)
		}
	}
}

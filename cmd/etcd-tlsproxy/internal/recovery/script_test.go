package recovery

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

func TestAWaitShowsWhatFailsOnlyIfTheTimeIsUp(t *testing.T) {
	state := filepath.Join(t.TempDir(), "state")
	// The command refuses once, like an etcd that starts.
	command := "ready() { [ -e " + quote(state) + " ] || { echo 'curl: refused' >&2; : >" + quote(state) + "; return 1; }; }\n"
	if out, err := exec.Command("sh", "-c", prelude+command+"wait_for etcd 9 ready").CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("a wait that succeeds: got %q and the error %v, want neither", out, err)
	}
	out, err := exec.Command("sh", "-c", prelude+"never() { echo 'curl: refused' >&2; return 7; }\nwait_for etcd 1 never").CombinedOutput()
	if want := "FAILED: timeout while waiting for etcd: curl: refused\n"; err == nil || string(out) != want {
		t.Errorf("a wait that fails: got %q and the error %v, want %q", out, err, want)
	}
}

func TestTheFlagsOfEtcdNameTheV2APIOnce(t *testing.T) {
	m := Member{Name: "a", Peer: "http://127.0.0.1:2", Client: "http://127.0.0.1:1", Advertise: "https://a:3"}
	for given, want := range map[string]string{"--strict-reconfig-check=false": "--enable-v2=true", "--enable-v2=true": "--enable-v2=true", "-enable-v2": "-enable-v2"} {
		r := &Recovery{DataDir: "/data", Foreground: true, ListenPeer: "127.0.0.1", Etcd: "etcd", EtcdArgs: []string{given}}
		if got := r.launch(m); strings.Count(got, "enable-v2") != 1 || !strings.Contains(got, " "+want+" ") {
			t.Errorf("with --etcd-arg=%s: got %s, want %s once", given, got, want)
		}
	}
}

package recovery

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// systemctl implements the part of systemctl that the commands use: units have an
// environment file, those of drop-ins are read after it, and start returns when etcd is
// ready.
const systemctl = `#!/bin/sh
set -eu
unit=${2-}
stop() {
  pid=$(cat "$UNITS/$unit.pid" 2>/dev/null) || return 0
  kill "$pid" 2>/dev/null || return 0
  while [ "$(cat "/proc/$pid/comm" 2>/dev/null)" = etcd ] && ! grep -qs '^State:.*Z' "/proc/$pid/status"; do sleep 0.05; done
}
start() {
  name=${unit#etcd-test-*-} name=${name%.service}
  set -a
  . "$UNITS/$unit.env"
  for drop in /run/systemd/system/"$unit".d/*.conf; do
    [ ! -e "$drop" ] || . "$(sed -n 's/^EnvironmentFile=//p' "$drop")"
  done
  set +a
  echo "$name force=${ETCD_FORCE_NEW_CLUSTER-} cluster=${ETCD_INITIAL_CLUSTER_STATE-}" >>"$UNITS/starts"
  setsid etcd </dev/null >>"$UNITS/log" 2>&1 &
  mkdir -p "$UNITS/$name"
  echo $! >"$UNITS/$unit.pid"
  cp "$UNITS/$unit.pid" "$UNITS/$name/data.pid"
  until curl -fs --noproxy '*' "$ETCD_LISTEN_CLIENT_URLS/version" >/dev/null; do sleep 0.05; done
}
case $1 in
show) printf '%s\n' LoadState=loaded "ExecStart={ path=$(command -v etcd) ; argv[]=etcd ; ignore_errors=no }" "EnvironmentFiles=$UNITS/$4.env (ignore_errors=no)" ;;
show-environment) echo LANG=C ;;
daemon-reload) ;;
stop) stop ;;
start) start ;;
restart) stop; start ;;
*) exit 1 ;;
esac
`

func TestUnitsAreStartedWithWhatCountsOnlyOnce(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root may write below /run")
	}
	if err := os.MkdirAll("/run/systemd/system", 0o755); err != nil {
		t.Skip(err)
	}
	c, folders := startCluster(t, 1)
	put(t, c.Members[0].URL(), "/a", "1")
	backup := run(t, newBackup(t, c.Members[0].URL(), folders[0])).Path
	c.Members[0].Close()

	units, bin := t.TempDir(), t.TempDir()
	if err := os.WriteFile(filepath.Join(bin, "systemctl"), []byte(systemctl), 0o700); err != nil {
		t.Fatal(err)
	}
	var list []string
	for _, name := range []string{"conf1001", "conf1002"} {
		list = append(list, name+"=http://"+unusedAddr(t)+"+http://"+unusedAddr(t))
	}
	members, err := new(Defaults).Members(list)
	if err != nil {
		t.Fatal(err)
	}
	r := newRecovery(t, t.TempDir(), backup, members)
	r.Foreground, r.Owner, r.Service = false, "root:root", fmt.Sprintf("etcd-test-%d-{name}.service", os.Getpid())
	for _, m := range members {
		// Puppet writes this for a cluster that finds its members in DNS.
		env := []string{"NAME=" + m.Name, "DATA_DIR=" + r.dataDir(m), "ENABLE_V2=true", "LISTEN_PEER_URLS=" + m.Peer, "INITIAL_ADVERTISE_PEER_URLS=" + m.Peer,
			"LISTEN_CLIENT_URLS=" + m.Client, "ADVERTISE_CLIENT_URLS=" + m.Client, "DISCOVERY_SRV=example.invalid", "INITIAL_CLUSTER_STATE=new"}
		if err := os.WriteFile(filepath.Join(units, r.unit(m)+".env"), []byte("ETCD_"+strings.Join(env, "\nETCD_")+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		dropIns := "/run/systemd/system/" + r.unit(m) + ".d"
		t.Cleanup(func() { _ = os.RemoveAll(dropIns) })
	}
	t.Cleanup(func() { killAll(t, units) })
	// A recovery that was killed has left this. A start of etcd would use it.
	t.Setenv("PATH", bin+":"+os.Getenv("PATH"))
	t.Setenv("UNITS", units)
	leftover := *r
	leftover.Undo = "20261124T071500Z"
	writeFile(t, r.dropIn(members[0]), "[Service]\n")
	writeFile(t, r.environmentFile(members[0]), "ETCD_FORCE_NEW_CLUSTER=true\n")
	if _, err := leftover.RunUndo(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{r.dropIn(members[0]), r.environmentFile(members[0])} {
		if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s after an undo: got the error %v, want that it was removed", path, err)
		}
	}
	p, err := r.Plan(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	sh := exec.CommandContext(t.Context(), "sh")
	sh.Stdin = strings.NewReader(p.Script)
	if out, err := sh.CombinedOutput(); err != nil {
		log, _ := os.ReadFile(filepath.Join(units, "log"))
		t.Fatalf("%v\n%s\n%s\n%s", err, out, p.Script, log)
	}
	for _, m := range members {
		if status, n := read(t, m.Client, "/a"); status != http.StatusOK || n.Value != "1" {
			t.Errorf("/a at %s: got status %d and %q, want 200 and \"1\"", m.Name, status, n.Value)
		}
		if left := names(t, "/run/systemd/system/"+r.unit(m)+".d"); left != "" {
			t.Errorf("drop-ins of %s after the recovery: got %s, want none", m.Name, left)
		}
	}
	// The unit of the first member now says that its log is elsewhere.
	file := filepath.Join(units, r.unit(members[0])+".env")
	env, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	writeFile(t, file, string(env)+"ETCD_WAL_DIR=/srv/wal\n")
	if err := r.execute(t.Context(), Step{Local: true, Commands: r.examine(members[0])}); err == nil || !strings.Contains(err.Error(), "give --wal-dir /srv/wal") {
		t.Errorf("checking a unit with a log of its own: got the error %v, want a hint to --wal-dir", err)
	}
	if _, err := r.examineHere(t.Context()); err == nil || !strings.Contains(err.Error(), "give --wal-dir /srv/wal") {
		t.Errorf("planning for a unit with a log of its own: got the error %v, want that it is refused", err)
	}
	starts, err := os.ReadFile(filepath.Join(units, "starts"))
	if want := "conf1001 force=true cluster=new\nconf1001 force= cluster=new\nconf1002 force= cluster=existing\n"; err != nil || string(starts) != want {
		t.Errorf("starts: got\n%s(%v), want\n%s", starts, err, want)
	}
}

// unusedAddr returns an address on which nothing listens.
func unusedAddr(t *testing.T) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	return ln.Addr().String()
}

func TestWhatIsForAnotherMachineGoesThere(t *testing.T) {
	d := Defaults{PeerScheme: "http", PeerPort: 2380, ClientScheme: "https", ProxyPort: 4001, ListenClient: "http://127.0.0.1:2379"}
	members, err := d.Members([]string{"conf1001=conf1001.example.org", "conf1002=conf1002.example.org"})
	if err != nil {
		t.Fatal(err)
	}
	marks := t.TempDir()
	r := &Recovery{Members: members, Foreground: true, RemoteShell: "sh " + filepath.Join(marks, "remote"), DataDir: filepath.Join(marks, "it's etcd's")}
	if err := os.WriteFile(filepath.Join(marks, "remote"), []byte("echo \"$1\" >>\"$(dirname \"$0\")/hosts\"; shift; exec \"$@\"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	r.Now = newBackup(t, "", "").Now
	mkdir(t, filepath.Join(r.DataDir, "member"))
	p := &Plan{Steps: []Step{{Title: "move it's data", Host: members[1].Host(), Commands: r.moveAside(members[1])}}, Facts: []string{"one\ntwo; exit 1"}}
	sh := exec.CommandContext(t.Context(), "sh")
	sh.Stdin = strings.NewReader(r.script(p))
	if out, err := sh.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if hosts, err := os.ReadFile(filepath.Join(marks, "hosts")); err != nil || string(hosts) != "conf1002.example.org\n" {
		t.Errorf("hosts: got %q (%v), want conf1002.example.org", hosts, err)
	}
	if moved := names(t, r.DataDir); !strings.HasPrefix(moved, "member.before-recovery-") {
		t.Errorf("data folder: got %s, want the old data under its new name", moved)
	}
}

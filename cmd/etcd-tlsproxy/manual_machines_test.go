package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"etcd-tlsproxy/proxy/proxytest"
	"etcd-tlsproxy/proxy/proxytest/dnstest"
)

// machines are conf1001, conf1002 and conf1003 of the manual. Each has a folder below
// root for its files, and a loopback address for its ports, which are the real ones.
type machines struct {
	t      *testing.T
	root   string
	prefix string // of the addresses
	etcd   string // path; its name is "etcd", by which recover finds the processes
	dns    *dnstest.Server
}

const machineCount = 3

// wrappers are scripts that replace programs on these machines.
var wrappers = map[string]string{
	// etcd listens for peers on its machine's address instead of all addresses. Members can
	// join without a delay; other tests cover etcd's check for that.
	"etcd": `#!/bin/sh
ip=
for arg; do case $arg in --initial-advertise-peer-urls=*) ip=${arg#*//}; ip=${ip%:*};; esac; done
for arg; do shift; set -- "$@" "$(printf %s "$arg" | sed "s,//0\.0\.0\.0:,//$ip:,")"; done
exec REAL --strict-reconfig-check=false "$@"
`,
	// The command runs with the files of the other machine.
	"ssh": `#!/bin/sh
host=$1 name=conf100${1##*.}; shift
command=$(printf %s "$*" | sed "s,ROOT/[^/]*/,ROOT/$name/,g")
MACHINE=ROOT/$name IP=$host exec sh -c "$command"
`,
	// A service is a process with a file for its id, like with recover --foreground.
	"systemctl": `#!/bin/sh
set -eu
action=$1; shift
etcd=$MACHINE/var/lib/etcd/default proxy=$MACHINE/var/etcd-tlsproxy
runs() { [ -e "$1.pid" ] && pid=$(cat "$1.pid") && [ -d "/proc/$pid" ] && ! grep -q '^State:.*Z' "/proc/$pid/status"; }
start() {
  if [ "$1" = "$proxy" ]; then
    setsid etcd-tlsproxy serve --config "$MACHINE/etc/etcd-tlsproxy/etcd-tlsproxy.toml" </dev/null >>"$1.log" 2>&1 &
    echo $! >"$1.pid"
    answers="curl -sf http://$IP:4002/-/ready"
  else
    set -- "$1" $(sed -n 's/^ETCD_\([A-Z0-9_]*\)="\(.*\)"$/\1 \2/p' "$MACHINE/etc/default/etcd" | while read -r name value; do
      printf -- '--%s=%s\n' "$(printf %s "$name" | tr A-Z_ a-z-)" "$value"
    done | sed "s,=/var/,=$MACHINE/var/,; s,127\.0\.0\.1,$IP,; s,conf100\([0-9]\)\.example\.org,PREFIX.\1,g")
    log=$1; shift; mkdir -p "$log"
    env -i PATH="$PATH" setsid etcd "$@" </dev/null >>"$log.log" 2>&1 &
    echo $! >"$log.pid"; set -- "$log"
    answers="curl -sf --max-time 1 http://$IP:2379/HEALTH"
  fi
  until $answers >/dev/null; do runs "$1" || { tail -5 "$1.log" >&2; exit 1; }; sleep 0.05; done
}
stop() { if runs "$1"; then kill "-$2" "$pid"; while runs "$1"; do sleep 0.02; done; fi; }
signal=
case ${1-} in --signal=*) signal=${1#*=}; shift;; esac
for unit; do
  case ${unit%.service} in etcd) it=$etcd;; etcd-tlsproxy) it=$proxy;; *) echo "no unit $unit" >&2; exit 5;; esac
  case $action in
    start) runs "$it" || start "$it";;
    stop) stop "$it" TERM;;
    restart) stop "$it" TERM; start "$it";;
    reload) runs "$it"; kill -HUP "$pid";;
    kill) stop "$it" "$signal";;
    *) echo "no action $action" >&2; exit 2;;
  esac
done
`,
	// Everything ends when the standard input is closed: when the test ends, in whatever
	// way.
	"end": `#!/bin/sh
cat >/dev/null
for file in ROOT/*/var/*.pid ROOT/*/var/lib/etcd/*.pid; do
  [ -e "$file" ] || continue
  pid=$(cat "$file")
  case $(cat "/proc/$pid/comm" 2>/dev/null) in etcd*) kill -9 "$pid";; *) continue;; esac
  while [ -d "/proc/$pid" ] && ! grep -q '^State:.*Z' "/proc/$pid/status"; do sleep 0.02; done
done
`,
}

// newMachines returns machines with an etcd that has the v2 API.
func newMachines(t *testing.T) *machines {
	t.Helper()
	etcd, _, ok := proxytest.FindEtcd()
	if !ok {
		t.Skip("etcd with the v2 API is not installed")
	}
	return machinesWith(t, etcd, "v2/keys/?quorum=true")
}

// newMachinesV3 returns machines with a release of etcd, and its etcdutl.
func newMachinesV3(t *testing.T, release proxytest.Release) *machines {
	t.Helper()
	m := machinesWith(t, filepath.Join(t.TempDir(), "etcd"), "health")
	m.install(release)
	return m
}

// install installs a release of etcd on all machines. Running members stay what they are.
func (m *machines) install(release proxytest.Release) {
	m.t.Helper()
	for path, program := range map[string]string{m.etcd: release.Program, filepath.Join(m.root, "bin", "etcdutl"): release.Restorer()} {
		if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
			m.t.Fatal(err)
		}
		if err := os.Symlink(program, path); err != nil {
			m.t.Fatal(err)
		}
	}
}

// machinesWith returns machines with the etcd at a path, which is ready when it answers a path of its API.
func machinesWith(t *testing.T, etcd, health string) *machines {
	t.Helper()
	if testing.Short() {
		t.Skip("it takes more than half a minute")
	}
	ok := true
	for _, tool := range []string{"etcdctl", "curl", "setsid", "flock"} {
		if _, err := exec.LookPath(tool); err != nil {
			ok = false
		}
	}
	if !ok {
		t.Skip("etcdctl and curl are not both installed")
	}
	m := &machines{t: t, root: t.TempDir(), prefix: freePrefix(t), etcd: etcd, dns: dnstest.New(t)}
	bin := filepath.Join(m.root, "bin")
	for name, text := range wrappers {
		m.write("bin/"+name, strings.NewReplacer("ROOT", m.root, "PREFIX", m.prefix, "REAL", etcd, "HEALTH", health).Replace(text), 0o700)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	// Under this name the test's program is the service; see TestMain.
	if err := os.Symlink(self, filepath.Join(bin, "etcd-tlsproxy")); err != nil {
		t.Fatal(err)
	}
	pki, err := proxytest.NewPKI()
	if err != nil {
		t.Fatal(err)
	}
	for n := 1; n <= machineCount; n++ {
		name := fmt.Sprintf("conf100%d/", n)
		cert, key, err := pki.Server(m.address(n))
		if err != nil {
			t.Fatal(err)
		}
		m.write(name+"etc/ssl/localcerts/etcd.chained.crt", string(cert), 0o600)
		m.write(name+"etc/ssl/private/etcd.key", string(key), 0o600)
		m.write(name+"etc/ssl/certs/ca.pem", string(pki.CA()), 0o600)
		for _, folder := range []string{"etc/default", "etc/etcd-tlsproxy", "etc/nginx/auth", "srv/backup", "root", "var/lib/etcd"} {
			m.write(name+folder+"/.keep", "", 0o600)
		}
	}
	end := exec.Command(filepath.Join(bin, "end"))
	input, err := end.StdinPipe()
	if err == nil {
		err = end.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		input.Close()
		if err := end.Wait(); err != nil {
			t.Errorf("stopping the processes of the machines: %v", err)
		}
	})
	return m
}

func (m *machines) write(name, text string, mode os.FileMode) {
	m.t.Helper()
	path := filepath.Join(m.root, name)
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, []byte(text), mode)); err != nil {
		m.t.Fatal(err)
	}
}

func (m *machines) address(n int) string { return fmt.Sprintf("%s.%d", m.prefix, n) }

// freePrefix returns the prefix of addresses whose ports are free.
func freePrefix(t *testing.T) string {
	t.Helper()
	for range 50 {
		prefix := fmt.Sprintf("127.%d.%d", 1+rand.IntN(254), 1+rand.IntN(254))
		free := true
		for n := 1; n <= machineCount && free; n++ {
			for _, port := range []string{"2379", "2380", "2381", "2382", "4001", "4002"} {
				ln, err := net.Listen("tcp", fmt.Sprintf("%s.%d:%s", prefix, n, port))
				if free = free && err == nil; err == nil {
					ln.Close()
				}
			}
		}
		if free {
			return prefix
		}
	}
	t.Skip("found no three loopback addresses with free ports")
	return ""
}

var (
	hostNames   = regexp.MustCompile(`conf100([1-3])\.example\.org`)
	loopback    = regexp.MustCompile(`127\.0\.0\.1(:(?:2379|2381|2382|4002))`)
	paths       = regexp.MustCompile(`(?m)(^|[\s"'=<>(])(/(?:etc|srv|var|root)/)`)
	recoverCall = regexp.MustCompile(`etcd-tlsproxy recover (?:[^\n\\]|\\\n)*`)
	recoverHost = regexp.MustCompile(`(conf100[1-3])=(127\.[0-9.]*[0-9])`)
)

// here replaces the addresses and paths in a text of the manual by those of a machine.
// There are no other differences from the manual.
func (m *machines) here(n int, text string) string {
	text = strings.ReplaceAll(text, "127.0.0.1:53", m.dns.Addr())
	text = hostNames.ReplaceAllString(text, m.prefix+".$1")
	text = loopback.ReplaceAllString(text, m.address(n)+"$1")
	text = strings.ReplaceAll(text, `":4001"`, `"`+m.address(n)+`:4001"`)
	text = paths.ReplaceAllString(text, fmt.Sprintf("${1}%s/conf100%d$2", m.root, n))
	// The real machines have one folder and one service of each name; here there are
	// three. On loopback a short timeout is enough to find that the quorum is lost.
	return recoverCall.ReplaceAllStringFunc(text, func(call string) string {
		call = strings.Replace(call, "recover ", "recover --timeout 2s --foreground --data-dir "+m.root+"/{name}/var/lib/etcd/default ", 1)
		return recoverHost.ReplaceAllString(call, "$1=http://$2:2380+http://$2:2379+https://$2:4001")
	})
}

// run runs a script on a machine, and returns its exit status and its output.
func (m *machines) run(n int, script string) (int, string) {
	m.t.Helper()
	ctx, cancel := context.WithTimeout(m.t.Context(), 3*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "sh", "-eu", "-c", script)
	machine := fmt.Sprintf("%s/conf100%d", m.root, n)
	cmd.Dir = machine
	cmd.Env = []string{"PATH=" + m.root + "/bin:" + os.Getenv("PATH"), "MACHINE=" + machine, "IP=" + m.address(n), "HOME=" + machine + "/root", "LC_ALL=C.UTF-8"}
	// The script can start services that outlive it and would keep a pipe open.
	output, err := os.CreateTemp(m.t.TempDir(), "output")
	if err != nil {
		m.t.Fatal(err)
	}
	defer output.Close()
	cmd.Stdout, cmd.Stderr = output, output
	err = cmd.Run()
	text, readErr := os.ReadFile(output.Name())
	var exit *exec.ExitError
	if readErr != nil || ctx.Err() != nil || err != nil && !errors.As(err, &exit) {
		m.t.Fatalf("running a script: error %v, context %v\n%s\n%s", err, ctx.Err(), script, text)
	}
	return cmd.ProcessState.ExitCode(), string(bytes.TrimSpace(text))
}

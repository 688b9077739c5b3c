package recovery

import (
	"fmt"
	"net"
	"strings"
)

// stop returns the commands that stop a member's etcd. Without a service manager the
// process is found by its PID file.
func (r *Recovery) stop(m Member) string {
	if !r.Foreground {
		return "systemctl stop " + quote(r.unit(m)) + "\n"
	}
	return fmt.Sprintf(`pid=$(cat %s.pid 2>/dev/null || true)
runs() { [ -n "$pid" ] && [ "$(cat "/proc/$pid/comm" 2>/dev/null)" = etcd ] && ! grep -qs '^State:.*Z' "/proc/$pid/status"; }
ended() { ! runs; }
if runs; then kill "$pid"; wait_for %s 60 ended; fi
`, quote(r.dataDir(m)), quote(m.Name+" to stop"))
}

func (r *Recovery) unit(m Member) string { return strings.ReplaceAll(r.Service, "{name}", m.Name) }

// start returns the commands that start a member, as one of all or as a cluster of its
// own.
func (r *Recovery) start(m Member, all []Member, alone bool) string {
	if r.Foreground {
		flags := []string{"--initial-cluster=" + initialCluster(all), "--initial-cluster-state=existing"}
		if alone {
			flags = append(flags, "--force-new-cluster")
		}
		return r.launch(m, flags...)
	}
	if alone {
		return r.startUnit(m, `ETCD_FORCE_NEW_CLUSTER="true"`)
	}
	return r.startUnit(m, `ETCD_INITIAL_CLUSTER="`+initialCluster(all)+`"`, `ETCD_INITIAL_CLUSTER_STATE="existing"`,
		// etcd accepts only one way of discovery; an empty variable counts as unset.
		`ETCD_DISCOVERY_SRV=""`, `ETCD_DISCOVERY=""`)
}

// restart returns the commands that restart an etcd without --force-new-cluster.
func (r *Recovery) restart(m Member) string {
	if !r.Foreground {
		return "systemctl restart " + quote(r.unit(m)) + "\n" + r.waitHealthy(m)
	}
	return r.stop(m) + r.launch(m) + r.waitHealthy(m)
}

func (r *Recovery) waitHealthy(m Member) string {
	return fmt.Sprintf("healthy() { %s | grep -q '\"health\":\"true\"'; }\nwait_for %s 120 healthy\n", r.curl(m.Client+"/health"), quote(m.Name+" to answer"))
}

// launch returns the commands that start etcd as a process, in a session of its own, so
// that it outlives the shell and its terminal. It clears the environment, because etcd
// reads ETCD_ variables as flags.
func (r *Recovery) launch(m Member, flags ...string) string {
	peer := parse(m.Peer)
	listen := peer.Scheme + "://" + net.JoinHostPort(r.ListenPeer, peer.Port())
	words := []string{"--name=" + m.Name, "--data-dir=" + r.dataDir(m), "--enable-v2=true",
		"--listen-peer-urls=" + listen, "--initial-advertise-peer-urls=" + m.Peer,
		"--listen-client-urls=" + m.Client, "--advertise-client-urls=" + m.Advertise}
	words = append(append(words, flags...), r.EtcdArgs...)
	dir := quote(r.dataDir(m))
	return fmt.Sprintf("mkdir -p %s; chmod 700 %[1]s\nenv -i PATH=\"$PATH\" setsid %s %s </dev/null >>%[1]s.log 2>&1 &\necho $! >%[1]s.pid\n",
		dir, quote(r.Etcd), quoteAll(words))
}

// startUnit returns the commands that start a unit with variables for this start only:
// none of them may be set at a later start, least of all ETCD_FORCE_NEW_CLUSTER. systemd
// reads the environment file of a drop-in after the unit's own, so it takes precedence,
// and /run is empty after a reboot.
func (r *Recovery) startUnit(m Member, variables ...string) string {
	unit := r.unit(m)
	dropIn := "/run/systemd/system/" + unit + ".d/etcd-tlsproxy-recover.conf"
	environment := "/run/etcd-tlsproxy-recover." + unit + ".env"
	return fmt.Sprintf(`mkdir -p %[1]s
printf '%%s\n' %[2]s >%[3]s
printf '%%s\n' '[Service]' %[4]s >%[5]s
systemctl daemon-reload
started=yes; systemctl start %[6]s || started=no
rm -f %[3]s %[5]s
systemctl daemon-reload
[ $started = yes ] || fail 'see journalctl --unit' %[6]s
`, quote("/run/systemd/system/"+unit+".d"), quoteAll(variables), quote(environment), quote("EnvironmentFile="+environment), quote(dropIn), quote(unit))
}

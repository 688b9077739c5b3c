package recovery

import (
	"fmt"
	"net"
	"slices"
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
	words := []string{"--name=" + m.Name, "--data-dir=" + r.dataDir(m),
		"--listen-peer-urls=" + listen, "--initial-advertise-peer-urls=" + m.Peer,
		"--listen-client-urls=" + m.Client, "--advertise-client-urls=" + m.Advertise}
	if r.WALDir != "" {
		words = append(words, "--wal-dir="+r.walDir(m))
	}
	if r.tree == nil && !slices.ContainsFunc(r.EtcdArgs, func(arg string) bool { return strings.HasPrefix(strings.TrimLeft(arg, "-"), "enable-v2") }) {
		words = append(words, "--enable-v2=true")
	}
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
	return fmt.Sprintf(`mkdir -p %[1]s
printf '%%s\n' %[2]s >%[3]s
(
  trap %[4]s EXIT
  trap 'exit 1' HUP INT TERM
  printf '%%s\n' '[Service]' %[5]s >%[6]s && systemctl daemon-reload && systemctl start %[7]s
) || fail 'see journalctl --unit' %[7]s
`, quote("/run/systemd/system/"+unit+".d"), quoteAll(variables), quote(r.environmentFile(m)), quote(strings.TrimSuffix(r.clear(m), "\n")),
		quote("EnvironmentFile="+r.environmentFile(m)), quote(r.dropIn(m)), quote(unit))
}

func (r *Recovery) dropIn(m Member) string {
	return "/run/systemd/system/" + r.unit(m) + ".d/etcd-tlsproxy-recover.conf"
}

func (r *Recovery) environmentFile(m Member) string {
	return "/run/etcd-tlsproxy-recover." + r.unit(m) + ".env"
}

// clear returns the commands that remove what startUnit has written. A recovery that was
// killed in between has left it, and a later start would use it.
func (r *Recovery) clear(m Member) string {
	if r.Foreground {
		return ""
	}
	return "rm -f " + quote(r.dropIn(m)) + " " + quote(r.environmentFile(m)) + "; systemctl daemon-reload\n"
}

// curl returns a command that sends a request to the first member. It fails if the
// response is an error.
func (r *Recovery) curl(words ...string) string {
	all := []string{"curl", "--fail", "--silent", "--show-error", "--noproxy", "*", "--max-time", "10"}
	for _, option := range []struct{ name, value string }{{"--cacert", r.Connection.CA}, {"--cert", r.Connection.Certificate}, {"--key", r.Connection.Key}} {
		if option.value != "" {
			all = append(all, option.name, option.value)
		}
	}
	return quoteAll(append(all, words...))
}

func (r *Recovery) startAlone(m Member, from *source) string {
	return r.start(m, []Member{m}, true) + r.waitHealthy(m) + fmt.Sprintf(`%s | tr -d '\r' | grep -qix 'x-etcd-cluster-id: %s' || fail 'this etcd does not have the data of the backup: check its --data-dir and --wal-dir'
`, r.curl("--output", "/dev/null", "--dump-header", "-", m.Client+"/v2/members"), from.identity.Cluster)
}

// updatePeerURL sets the peer URL. After --force-new-cluster it is http://localhost:2380,
// whatever the flags say, and no other member could join.
func (r *Recovery) updatePeerURL(m Member) string {
	body := `{"peerURLs":["` + m.Peer + `"]}`
	return fmt.Sprintf(`id=$(%s | sed -n 's/^{"members":\[{"id":"\([0-9a-f]*\)"[^}]*}\]}$/\1/p')
[ -n "$id" ] || fail 'there is not exactly one member'
%s/"$id"
%s | grep -qF %s || fail 'the peer URL has not changed'
`, r.curl(m.Client+"/v2/members"), r.curl("--request", "PUT", "--header", "Content-Type: application/json", "--data", body, m.Client+"/v2/members"),
		r.curl(m.Client+"/v2/members"), quote(`"peerURLs":["`+m.Peer+`"]`))
}

// addMember retries until etcd accepts the member: with --strict-reconfig-check, which is
// the default, etcd refuses for some seconds after another member has joined.
func (r *Recovery) addMember(first, m Member) string {
	body := `{"peerURLs":["` + m.Peer + `"]}`
	return fmt.Sprintf(`added() { %s | grep -qF %s; }
add() { added || %s >/dev/null || added; }
wait_for %s 120 add
`, r.curl(first.Client+"/v2/members"), quote(`"`+m.Peer+`"`),
		r.curl("--request", "POST", "--header", "Content-Type: application/json", "--data", body, first.Client+"/v2/members"), quote("etcd to accept "+m.Name))
}

// startNew starts a member on an empty folder.
func (r *Recovery) startNew(m Member, all []Member) string {
	return fmt.Sprintf("for old in %s/member %s; do [ ! -e \"$old\" ] || fail \"$old is old data of etcd: move it aside first\"; done\n",
		quote(r.dataDir(m)), quote(r.logDir(m))) + r.start(m, all, false)
}

// waitStarted waits until the new member has published its name, which requires a quorum,
// and until the cluster answers quorum reads.
func (r *Recovery) waitStarted(first, m Member) string {
	return fmt.Sprintf(`started() { %s | grep -qF %s && %s >/dev/null; }
wait_for %s 600 started
`, r.curl(first.Client+"/v2/members"), quote(`"name":"`+m.Name+`"`), r.curl(first.Client+"/v2/keys/?quorum=true"), quote(m.Name+" to start"))
}

#!/bin/bash
# Runs as a service in the system that deploy/check-deb.sh boots. It does everything that is done to a package from
# installation to purge, and creates /shared/passed if all checks passed.
set -euo pipefail

config=/etc/etcd-tlsproxy/etcd-tlsproxy.toml
cd /tmp

fail() { echo "FAILED: $*"; journalctl --no-pager -n 40 -u etcd-tlsproxy || true; exit 1; }
trap 'fail "line $LINENO: $BASH_COMMAND"' ERR
passed() { echo "passed: $*"; }
state() { systemctl show -p "$1" --value etcd-tlsproxy; }
none_failed() { [[ -z $(systemctl list-units --state=failed --no-legend 'etcd*') ]] || fail "$1: there are failed units"; }
request() { curl --silent --fail-with-body --cacert /tmp/ca.crt --max-time 20 "$@"; }
eventually() { # waits for a condition that a signal or another process causes
	local limit=$((SECONDS + 30))
	while ((SECONDS < limit)); do
		if "$@"; then return; fi
		sleep 0.1
	done
	fail "waited 30 s in vain for: $*"
}

# The commands of the section "Run it in production" of README.md or MANUAL.md, unchanged, with a password typed in.
documented() { # the beginning of a block of commands
	awk 'FNR==1{here=0; block=0} /^## /{here=$0=="## Run it in production"} !here{next} /^```sh$/{block=1; text=""; next} /^```$/{if(block) printf "%s%c",text,0; block=0; next} block{text=text $0 "\n"}' /shared/README.md /shared/MANUAL.md |
		while IFS= read -r -d '' block; do
			if [[ $block == "$1"* ]]; then printf '%s' "$block"; fi
		done
}
etcd-tlsproxy() { if [[ $1 == passwd ]]; then command etcd-tlsproxy "$@" --stdin <<<secret; else command etcd-tlsproxy "$@"; fi; }
follow() {
	local block
	block=$(documented "$1")
	[[ $block ]] || fail "the section \"Run it in production\" has no block of commands that begins with: $1"
	eval "$block"
}

# --- set up a machine with an etcd and a certificate
rm -f /usr/sbin/policy-rc.d # of a container whose system this is; it would forbid the package to restart the service
echo '127.0.0.1 localhost conf1001.example.org' >/etc/hosts
echo ETCD_ENABLE_V2=true >>/etc/default/etcd
systemctl start etcd
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=check -keyout ca.key -out ca.crt 2>/dev/null
openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=conf1001.example.org -keyout conf1001.example.org.key -out request 2>/dev/null
openssl x509 -req -in request -CA ca.crt -CAkey ca.key -days 2 -out conf1001.example.org.crt \
	-extfile <(echo subjectAltName=DNS:conf1001.example.org,DNS:localhost) 2>/dev/null
cp ca.crt /etc/ssl/certs/example.org.pem
cp /shared/etcd-tlsproxy_*.deb .

# --- installation
output=$(follow 'apt install' 2>&1) || fail "the installation: $output"
[[ $output == *'is not configured yet'* ]] || fail "the output of the installation does not say what to do: $output"
systemctl is-enabled --quiet etcd-tlsproxy || fail "the service is not enabled after the installation"
if systemctl is-active --quiet etcd-tlsproxy; then fail "the service runs without a configuration"; fi
none_failed "after the installation"
systemctl start etcd-tlsproxy
[[ $(state ConditionResult)$(state Result)$(state ActiveState) == *inactive ]] || fail "after a start without a configuration the service is $(state ActiveState), want inactive"
none_failed "after a start without a configuration"
passed "after the installation the service is enabled and waits for its configuration, and no unit has failed"
[[ $(getent passwd etcd-tlsproxy) == *:/nonexistent:/usr/sbin/nologin ]] || fail "the user is $(getent passwd etcd-tlsproxy)"
[[ $(stat -c '%a %U %G' /var/log/etcd-tlsproxy) == '2750 etcd-tlsproxy adm' ]] || fail "the log folder is $(stat -c '%a %U %G' /var/log/etcd-tlsproxy)"
bash -n /usr/share/bash-completion/completions/etcd-tlsproxy

# --- configure and start it with the documented commands
follow 'install -m'
follow 'cat >'
follow 'runuser'
systemctl is-active --quiet etcd-tlsproxy || fail "the service does not run after its start"
follow 'curl'
[[ $(request -u root:secret -X PUT -d value=1 https://conf1001.example.org:4001/v2/keys/conftool/a) == *'"value":"1"'* ]] || fail "a write with the right password did not return the value"
status=$(request -o /dev/null -w '%{http_code}' -u root:wrong -X PUT -d value=2 https://localhost:4001/v2/keys/conftool/a || true)
[[ $status == 401 ]] || fail "a write with a wrong password: got status $status, want 401"
[[ $(stat -c '%a %U %G' /var/log/etcd-tlsproxy/audit.log) == '640 etcd-tlsproxy adm' ]] || fail "the audit log is $(stat -c '%a %U %G' /var/log/etcd-tlsproxy/audit.log)"
# The start, and two requests.
[[ $(wc -l </var/log/etcd-tlsproxy/audit.log) == 3 ]] || fail "the audit log has $(wc -l </var/log/etcd-tlsproxy/audit.log) lines"
[[ $(curl -s http://127.0.0.1:4002/metrics) == *process_start_time_seconds* ]] || fail "the metrics lack process_start_time_seconds, which is read from /proc"
files() { awk '/^Max open files/{print $5}' "/proc/$1/limits"; }
# The system may allow fewer files than the unit requests.
wanted=$(($(files 1) < 65536 ? $(files 1) : 65536))
[[ $(files "$(state MainPID)") == "$wanted" ]] || fail "the limit of open files is $(files "$(state MainPID)"), want $wanted"
[[ $(awk '/^(Seccomp|NoNewPrivs|CapBnd):/{printf "%s ", $2}' "/proc/$(state MainPID)/status") == *'0000000000000000 1 2 '* ]] || fail "the process has capabilities, or no seccomp filter or no_new_privs"
if journalctl --no-pager -u etcd-tlsproxy | grep -e level=WARN -e level=ERROR; then fail "the service logged warnings or errors"; fi
passed "configured as documented, it serves in its sandbox"

# --- reloads and logs
systemctl reload etcd-tlsproxy
cp $config good
echo nonsense = 1 >>$config
if systemctl reload etcd-tlsproxy 2>/dev/null; then fail "systemctl reload succeeded with a bad configuration"; fi
systemctl is-active --quiet etcd-tlsproxy || fail "a reload with a bad configuration stopped the service"
logrotate --force /etc/logrotate.d/etcd-tlsproxy
written() { request -o /dev/null -u root:secret -X PUT -d value=3 https://localhost:4001/v2/keys/conftool/a; [[ -s /var/log/etcd-tlsproxy/audit.log ]]; }
eventually written
cp good $config
systemctl reload etcd-tlsproxy
passed "it reloads, rejects a bad configuration and reopens rotated logs"

# --- the watchdog
mkdir -p /run/systemd/system/etcd-tlsproxy.service.d
printf '[Service]\nWatchdogSec=2s\n' >/run/systemd/system/etcd-tlsproxy.service.d/check.conf
systemctl daemon-reload
systemctl restart etcd-tlsproxy
before=$(state MainPID)
kill -STOP "$before"
another() { [[ $(state MainPID) != "$1" && $(state ActiveState) == active ]]; }
eventually another "$before"
rm -r /run/systemd/system/etcd-tlsproxy.service.d
systemctl daemon-reload
systemctl restart etcd-tlsproxy
passed "the watchdog replaces a process that hangs"

# --- upgrades
before=$(state MainPID)
dpkg -i /shared/1.deb >/dev/null 2>&1 </dev/null
cmp good $config
another "$before" || fail "the upgrade did not restart the service"
[[ $(request https://localhost:4001/v2/keys/conftool/a) == *'"value":"3"'* ]] || fail "a read after the upgrade did not return the value"
before=$(state MainPID)
echo nonsense = 1 >>$config
cp $config bad
output=$(DEBIAN_FRONTEND=noninteractive dpkg -i --force-confdef --force-confold /shared/2.deb 2>&1 </dev/null)
[[ $output == *'NOT restarted'* && $output == *nonsense* ]] || fail "the upgrade with a bad configuration does not report that: $output"
cmp bad $config
[[ -e $config.dpkg-dist ]] || fail "the configuration of the new version was not saved as .dpkg-dist"
[[ $(state MainPID) == "$before" ]] || fail "the upgrade stopped a working service"
cp good $config
passed "upgrades keep the configuration, and keep the old process if the new version would not start"

# --- sockets
systemctl stop etcd-tlsproxy
follow 'systemctl stop'
clients() { # new connections, one after another, until the file enough exists
	local n=0
	while [[ ! -e enough ]] && ((n < 4000)); do
		n=$((n + 1))
		request -o /dev/null https://localhost:4001/v2/keys/conftool/a || echo "request $n" >>refused
		touch connected
	done
	echo "$n" >requested
}
under_load() { # runs a command while clients connect, and fails if one of them is refused
	rm -f enough refused requested connected
	clients &
	local clients_pid=$!
	eventually test -e connected
	"$@"
	touch enough
	wait "$clients_pid"
	(($(cat requested) > 1)) || fail "only $(cat requested) connections were made during: $*"
	[[ ! -e refused ]] || fail "$(wc -l <refused) of $(cat requested) connections were refused during: $*"
}
three_restarts() {
	for _ in {1..3}; do
		systemctl restart etcd-tlsproxy
		curl -s --fail -o /dev/null http://127.0.0.1:4002/-/ready || fail "the admin socket refused a connection during a restart"
	done
}
under_load three_restarts
journalctl --no-pager -u etcd-tlsproxy | grep -q inherited=2 || fail "the service did not use the sockets of systemd"
passed "with sockets, three restarts refused none of $(cat requested) new connections"

# --- the nightly backup
follow 'mkdir -p /srv/backup'
systemctl is-active --quiet etcd-tlsproxy-backup.timer || fail "the backup timer is not active"
systemctl start etcd-tlsproxy-backup || fail "the backup failed: $(journalctl --no-pager -n 20 -u etcd-tlsproxy-backup)"
grep -q '^etcd_tlsproxy_backup_verified 1' /var/lib/prometheus/node-exporter/etcd-tlsproxy-backup.prom || fail "the backup was not verified"
[[ $(stat -c %a /var/lib/prometheus/node-exporter/etcd-tlsproxy-backup.prom) == 644 ]] || fail "the node exporter cannot read the metrics"
(cd /srv/backup/etcd/etcd-* && sha256sum --quiet --check SHA256SUMS)
passed "the nightly backup copies the member and verifies the copy"

# --- an upgrade with sockets and timer
# A backup that runs during the upgrade must not be interrupted.
mkdir -p /run/systemd/system/etcd-tlsproxy-backup.service.d
printf '[Service]\nExecStart=\nExecStart=/bin/sleep 600\n' >/run/systemd/system/etcd-tlsproxy-backup.service.d/check.conf
systemctl daemon-reload
systemctl start --no-block etcd-tlsproxy-backup
backup_runs() { [[ $(systemctl show -p ActiveState --value etcd-tlsproxy-backup) == activating ]]; }
eventually backup_runs
untouched=(etcd-tlsproxy.socket etcd-tlsproxy-admin.socket etcd-tlsproxy-backup.timer etcd-tlsproxy-backup.service)
# Each start of a unit has an ID of its own.
invocations() { systemctl show -p Id,ActiveState,InvocationID "${untouched[@]}"; }
invocations >before-upgrade
[[ $(grep -c '^InvocationID=.' before-upgrade) == "${#untouched[@]}" ]] || fail "not all of these units run before the upgrade: ${untouched[*]}"
before=$(state MainPID)
upgrade() { dpkg -i /shared/3.deb >upgrade.log 2>&1 </dev/null || fail "the upgrade failed: $(cat upgrade.log)"; }
under_load upgrade
another "$before" || fail "the upgrade with sockets did not restart the service"
cmp good $config
invocations >after-upgrade
diff before-upgrade after-upgrade || fail "the upgrade stopped or restarted sockets, the timer or the backup"
for unit in etcd-tlsproxy.service "${untouched[@]}"; do
	[[ $(systemctl show -p NeedDaemonReload --value "$unit") == no ]] || fail "systemd has not read $unit of the new version"
done
systemctl is-enabled --quiet "${untouched[@]:0:3}" || fail "the upgrade disabled a socket or the timer"
systemctl stop etcd-tlsproxy-backup || true
rm -r /run/systemd/system/etcd-tlsproxy-backup.service.d
systemctl daemon-reload
systemctl reset-failed
passed "an upgrade with sockets, timer and a running backup refused none of $(cat requested) new connections and stopped none of them"

# --- remove and purge
dpkg -r etcd-tlsproxy >/dev/null 2>&1
if systemctl is-active --quiet etcd-tlsproxy etcd-tlsproxy.socket; then fail "the service or its socket runs after the removal"; fi
cmp good $config
dpkg -P etcd-tlsproxy >/dev/null 2>&1
[[ ! -e $config && ! -e /var/log/etcd-tlsproxy && ! -e /lib/systemd/system/etcd-tlsproxy.service && ! -e /etc/logrotate.d/etcd-tlsproxy ]] || fail "the purge left files of the package"
[[ -e /etc/etcd-tlsproxy/htpasswd && -e /etc/etcd-tlsproxy/server.key ]] || fail "the purge removed files of the administrator"
[[ -z $(find /etc/systemd -name '*tlsproxy*') ]] || fail "the purge left links: $(find /etc/systemd -name '*tlsproxy*')"
systemctl reset-failed
none_failed "after the purge"
passed "after removal and purge only the administrator's files are left"
touch /shared/passed

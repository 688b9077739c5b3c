#!/usr/bin/env bash
# Checks the units and the shell scripts. systemd-analyze must accept each unit without a warning and rate the sandbox of
# each service at most 2.0 on its scale from 0 (best) to 10. Needs the tools of systemd but no running systemd.
# deploy/check-deb.sh runs the units.
set -euo pipefail
cd "$(dirname "$0")/.."

command -v systemd-analyze >/dev/null || { echo "$0: systemd-analyze is missing: apt-get install systemd" >&2; exit 1; }
# The programs that the units name must exist, and on a build machine they do not.
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
mkdir -p "$root"/lib/systemd/system "$root"/usr/{bin,libexec/etcd-tlsproxy} "$root"/bin
cp /lib/systemd/system/*.target /lib/systemd/system/*.slice "$root/lib/systemd/system/"
cp deploy/systemd/*.service deploy/systemd/*.socket deploy/systemd/*.timer "$root/lib/systemd/system/"
for program in usr/bin/etcd-tlsproxy usr/libexec/etcd-tlsproxy/configured bin/kill; do
	install /bin/true "$root/$program"
done

complaints=$(systemd-analyze verify --man=no --root="$root" "$root"/lib/systemd/system/etcd-tlsproxy* 2>&1) || true
[[ -z $complaints ]] || { echo "$0: systemd-analyze verify: $complaints" >&2; exit 1; }
for service in deploy/systemd/*.service; do
	systemd-analyze security --offline=true --threshold=20 "$service" | tail -n 1
done
mapfile -t ci < <(find .ci -maxdepth 1 -type f)
shellcheck deploy/*.sh "${ci[@]}" deploy/systemd/configured deploy/debian/*.p{ostinst,rerm,ostrm} deploy/container/*.sh

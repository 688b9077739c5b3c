#!/usr/bin/env bash
# Checks a Debian package: deploy/check-deb.sh PACKAGE.deb. It runs lintian, then boots a separate Debian 12 with systemd,
# in which deploy/check-deb-inside.sh installs, starts, reloads, upgrades, removes and purges the package.
#
# Needs root, lintian, systemd-container and mmdebstrap. The Debian system is created once, in dist/check/debian. With
# CHECK_ROOT=/ a copy of this machine's own system is booted instead, with all changes in memory. That is faster, but
# requires that this machine is a Debian 12 with systemd-sysv, dbus, curl, openssl, logrotate and etcd.
set -euo pipefail
deb=$(realpath "$1")
cd "$(dirname "$0")/.."
check=$PWD/dist/check
root=${CHECK_ROOT:-$check/debian}

for tool in lintian systemd-nspawn mmdebstrap; do
	command -v "$tool" >/dev/null || { echo "$0: $tool is missing: apt-get install lintian systemd-container mmdebstrap" >&2; exit 1; }
done
[[ $(id -u) == 0 ]] || { echo "$0: run it as root: it boots a system" >&2; exit 1; }

# The documents and man pages must be in the package. The booted system may not unpack them.
contents=$(dpkg-deb --contents "$deb")
mapfile -t documents < <(sed 's|^|usr/share/doc/etcd-tlsproxy/|' deploy/debian/etcd-tlsproxy.docs)
for file in "${documents[@]}" usr/share/man/man8/etcd-tlsproxy.8 usr/share/man/man5/etcd-tlsproxy.toml.5 usr/share/man/man7/etcd-tlsproxy-manual.7 \
	usr/share/doc/etcd-tlsproxy/examples/{etcd-tlsproxy.rules.yml,prometheus.example.yml,etcd-tlsproxy.json,etcd-tlsproxy.conf,etcd-tlsproxy.nrpe.cfg,fail2ban-{filter,jail}.conf}; do
	grep -qE " \./$file(\.gz)?\$" <<<"$contents" || { echo "$0: the package does not contain /$file" >&2; exit 1; }
done

lintian --allow-root --tag-display-limit 0 --fail-on error,warning "$deb"

mkdir -p "$check"
if [[ ! -e $root/etc/debian_version ]]; then
	mmdebstrap --quiet --variant=minbase --include=systemd,systemd-sysv,dbus,curl,openssl,logrotate,procps,etcd-server,etcd-client bookworm "$root"
fi

# repack makes a later version of the package. Version 1 has the same configuration, version 2 another one. Version 3 has
# that of version 2, and other units.
repack() { # revision
	local folder=$check/repacked
	rm -rf "$folder"
	dpkg-deb --raw-extract "$deb" "$folder"
	sed -i "s/^Version: .*/&+check$1/" "$folder/DEBIAN/control"
	[[ $1 == 1 ]] || echo '# A comment of the next version.' | tee -a "$folder"/{etc,usr/share}/etcd-tlsproxy/etcd-tlsproxy.toml >/dev/null
	if [[ $1 == 3 ]]; then
		for unit in "$folder"/lib/systemd/system/etcd-tlsproxy*; do
			echo '# A comment of the next version.' >>"$unit"
		done
	fi
	dpkg-deb --build -Znone "$folder" "$check/shared/$1.deb" >/dev/null
	rm -rf "$folder"
}
rm -rf "$check/shared"
mkdir -p "$check/shared"
cp "$deb" "$check/shared/"
for revision in 1 2 3; do
	repack "$revision"
done
cp README.md MANUAL.md deploy/check-deb-inside.sh "$check/shared/"
cat >"$check/check.service" <<'TEXT'
[Unit]
Description=Checks of the etcd-tlsproxy package
Requires=basic.target dbus.socket
After=basic.target dbus.socket
SuccessAction=poweroff
FailureAction=poweroff

[Service]
Type=oneshot
ExecStart=/bin/bash /shared/check-deb-inside.sh
StandardOutput=file:/shared/output
StandardError=inherit
TimeoutStartSec=5min
TEXT

# All changes to the system are in memory and are discarded afterwards.
layer=$(mktemp -d)
discard() {
	umount "$layer/system" "$layer" 2>/dev/null || true
	rmdir "$layer"
}
trap discard EXIT
mount -t tmpfs -o mode=755 tmpfs "$layer"
mkdir "$layer"/{changes,work,system}
mount -t overlay -o "lowerdir=$root,upperdir=$layer/changes,workdir=$layer/work" overlay "$layer/system"
# With CHECK_ROOT=/ the copy must not have the machine ID of this machine.
: >"$layer/system/etc/machine-id"

options=(--quiet --console=pipe --private-network "--directory=$layer/system")
options+=("--bind=$check/shared:/shared" "--bind-ro=$check/check.service:/etc/systemd/system/check.service")
# Without a running systemd the container cannot be registered.
[[ $(</proc/1/comm) == systemd ]] || options+=(--register=no --keep-unit)
timeout 400 systemd-nspawn "${options[@]}" --boot -- --unit=check.service </dev/null >"$check/console" 2>&1 || true
cat "$check/shared/output" || { cat "$check/console" >&2; exit 1; }
[[ -e $check/shared/passed ]] || { echo "$0: the checks failed; see also dist/check/console" >&2; exit 1; }

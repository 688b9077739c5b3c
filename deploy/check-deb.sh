#!/usr/bin/env bash
# Checks a Debian package: deploy/check-deb.sh PACKAGE.deb. lintian reads it; then a Debian 12 of its own is booted
# with systemd, in which deploy/check-deb-inside.sh installs, starts, reloads, upgrades, removes and purges it.
#
# Needs root, and lintian, systemd-container and mmdebstrap. The Debian is made once, in dist/check/debian. With
# CHECK_ROOT=/ this machine's own system is booted instead, below a layer of memory that takes all changes: that is
# quick, and right where this machine is a Debian 12 with systemd-sysv, dbus, curl, openssl, logrotate and etcd.
set -euo pipefail
deb=$(realpath "$1")
cd "$(dirname "$0")/.."
check=$PWD/dist/check
root=${CHECK_ROOT:-$check/debian}

for tool in lintian systemd-nspawn mmdebstrap; do
	command -v "$tool" >/dev/null || { echo "$0: $tool is missing: apt-get install lintian systemd-container mmdebstrap" >&2; exit 1; }
done
[[ $(id -u) == 0 ]] || { echo "$0: it boots a system, for which it must be root" >&2; exit 1; }

lintian --allow-root --tag-display-limit 0 --fail-on error,warning "$deb"

mkdir -p "$check"
if [[ ! -e $root/etc/debian_version ]]; then
	mmdebstrap --quiet --variant=minbase --include=systemd,systemd-sysv,dbus,curl,openssl,logrotate,procps,etcd-server,etcd-client bookworm "$root"
fi

# Two later versions of the same package: one with the same configuration, one that brings another.
again() { # revision
	local folder=$check/repacked
	rm -rf "$folder"
	dpkg-deb --raw-extract "$deb" "$folder"
	sed -i "s/^Version: .*/&+check$1/" "$folder/DEBIAN/control"
	[[ $1 == 1 ]] || echo '# A remark of the next version.' | tee -a "$folder"/{etc,usr/share}/etcd-tlsproxy/etcd-tlsproxy.toml >/dev/null
	dpkg-deb --build -Znone "$folder" "$check/shared/$1.deb" >/dev/null
	rm -rf "$folder"
}
rm -rf "$check/shared"
mkdir -p "$check/shared"
cp "$deb" "$check/shared/"
again 1
again 2
cp README.md deploy/check-deb-inside.sh "$check/shared/"
cat >"$check/check.service" <<'TEXT'
[Unit]
Description=the checks of the package
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

# What changes in it is in memory, and gone afterwards.
layer=$(mktemp -d)
forget() {
	umount "$layer/system" "$layer" 2>/dev/null || true
	rmdir "$layer"
}
trap forget EXIT
mount -t tmpfs -o mode=755 tmpfs "$layer"
mkdir "$layer"/{changes,work,system}
mount -t overlay -o "lowerdir=$root,upperdir=$layer/changes,workdir=$layer/work" overlay "$layer/system"
# Else it would be taken for this machine, where that is what is booted.
: >"$layer/system/etc/machine-id"

options=(--quiet --console=pipe --private-network "--directory=$layer/system")
options+=("--bind=$check/shared:/shared" "--bind-ro=$check/check.service:/etc/systemd/system/check.service")
# Where no systemd runs there is none that could keep the container.
[[ $(</proc/1/comm) == systemd ]] || options+=(--register=no --keep-unit)
timeout 400 systemd-nspawn "${options[@]}" --boot -- --unit=check.service </dev/null >"$check/console" 2>&1 || true
cat "$check/shared/output" || { cat "$check/console" >&2; exit 1; }
[[ -e $check/shared/passed ]] || { echo "$0: the package failed; dist/check/console may say more" >&2; exit 1; }

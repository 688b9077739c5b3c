#!/usr/bin/env bash
# Builds the Debian package: deploy/deb.sh PROGRAM FOLDER, from a program that deploy/build.sh made, into a
# folder which gets the .deb, .changes and .buildinfo. Needs dpkg-dev and debhelper (13).
#
# DEB_REVISION (1) is Debian's part of the version, DEB_DISTRIBUTION (bookworm) where .changes sends it.
set -euo pipefail
program=$(realpath "$1") out=$(realpath -m "$2")
cd "$(dirname "$0")/.."

for tool in dpkg-buildpackage dh; do
	command -v "$tool" >/dev/null || { echo "$0: $tool is missing: apt-get install debhelper dpkg-dev" >&2; exit 1; }
done
released=$("$program" version | cut -d' ' -f2)
version=$(deploy/debian-version.sh "$released")-${DEB_REVISION:-1}
# All times in the package are the commit's, so that the same commit gives the same bytes.
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)}
export SOURCE_DATE_EPOCH

stage=$out/stage/etcd-tlsproxy
rm -rf "$out/stage"
mkdir -p "$stage"/{bin,libexec,config,man,completions/{bash,zsh,fish}}
cp -r deploy/debian "$stage/debian"
cp README.md THREAT-MODEL.md CHANGELOG.md "$stage/"
cp "$program" "$stage/bin/etcd-tlsproxy"
cp deploy/config/etcd-tlsproxy.toml "$stage/config/"
cp deploy/systemd/configured "$stage/libexec/"
for unit in etcd-tlsproxy.service etcd-tlsproxy.socket; do
	cp "deploy/systemd/$unit" "$stage/debian/$unit"
done
# debhelper finds units of other names than the package's behind the package's.
for unit in etcd-tlsproxy-admin.socket etcd-tlsproxy-backup.service etcd-tlsproxy-backup.timer; do
	cp "deploy/systemd/$unit" "$stage/debian/etcd-tlsproxy.$unit"
done
"$program" man "$stage/man"
"$program" completion bash >"$stage/completions/bash/etcd-tlsproxy"
"$program" completion zsh >"$stage/completions/zsh/_etcd-tlsproxy"
"$program" completion fish >"$stage/completions/fish/etcd-tlsproxy.fish"
deploy/licenses.sh >"$stage/third-party-licenses.txt"
cat >"$stage/debian/changelog" <<TEXT
etcd-tlsproxy ($version) ${DEB_DISTRIBUTION:-bookworm}; urgency=medium

  * Release $released; changelog.gz tells what changed.

 -- $(sed -n 's/^Maintainer: //p' deploy/debian/control)  $(date -u -R -d "@$SOURCE_DATE_EPOCH")
TEXT

cd "$stage"
# -d: the compiler is Go's, which need not come from Debian, and no C compiler is wanted.
dpkg-buildpackage --build=binary -us -uc -d >"$out/stage/build.log" 2>&1 || { cat "$out/stage/build.log" >&2; exit 1; }
mv "$out"/stage/etcd-tlsproxy_* "$out/"
echo "$out/etcd-tlsproxy_${version}_$(dpkg-architecture -qDEB_HOST_ARCH).deb"

#!/usr/bin/env bash
# Builds the Debian package: deploy/deb.sh PROGRAM FOLDER. The program is one that deploy/build.sh built. The .deb,
# .changes and .buildinfo are written to the folder. Needs dpkg-dev and debhelper (13).
#
# DEB_REVISION (1) is the Debian revision of the version, DEB_DISTRIBUTION (bookworm) the distribution in .changes.
set -euo pipefail
program=$(realpath "$1") out=$(realpath -m "$2")
cd "$(dirname "$0")/.."

for tool in dpkg-buildpackage dh; do
	command -v "$tool" >/dev/null || { echo "$0: $tool is missing: apt-get install debhelper dpkg-dev" >&2; exit 1; }
done
released=$("$program" version | cut -d' ' -f2)
version=$(deploy/debian-version.sh "$released")-${DEB_REVISION:-1}
# All times in the package are the time of the commit, so that the same commit gives the same bytes.
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)}
export SOURCE_DATE_EPOCH

stage=$out/stage/etcd-tlsproxy
rm -rf "$out/stage"
mkdir -p "$stage"/{bin,libexec,config,man,examples,completions/{bash,zsh,fish}}
cp -r deploy/debian "$stage/debian"
# debian/etcd-tlsproxy.docs lists the documents. The licenses are generated below.
mapfile -t documents < <(grep -v '^third-party-licenses' deploy/debian/etcd-tlsproxy.docs)
for document in "${documents[@]}" CHANGELOG.md deploy/man/etcd-tlsproxy.toml.5; do
	[[ -s $document ]] || { echo "$0: $document is missing or empty; the package must contain it" >&2; exit 1; }
done
cp "${documents[@]}" CHANGELOG.md "$stage/"
cp deploy/man/etcd-tlsproxy.toml.5 "$stage/man/"
cp "$program" "$stage/bin/etcd-tlsproxy"
cp deploy/config/etcd-tlsproxy.toml "$stage/config/"
cp deploy/systemd/configured "$stage/libexec/"
for unit in etcd-tlsproxy.service etcd-tlsproxy.socket; do
	cp "deploy/systemd/$unit" "$stage/debian/$unit"
done
# For units with other names debhelper expects the name of the package as a prefix.
for unit in etcd-tlsproxy-admin.socket etcd-tlsproxy-backup.service etcd-tlsproxy-backup.timer; do
	cp "deploy/systemd/$unit" "$stage/debian/etcd-tlsproxy.$unit"
done
"$program" man "$stage/man"
deploy/manual-page.sh MANUAL.md >"$stage/man/etcd-tlsproxy-manual.7"
cp deploy/prometheus/etcd-tlsproxy.rules.yml deploy/prometheus/prometheus.example.yml deploy/grafana/etcd-tlsproxy.json \
	deploy/icinga/etcd-tlsproxy.conf deploy/icinga/etcd-tlsproxy.nrpe.cfg "$stage/examples/"
for part in filter jail; do
	cp "deploy/fail2ban/$part.conf" "$stage/examples/fail2ban-$part.conf"
done
"$program" completion bash >"$stage/completions/bash/etcd-tlsproxy"
"$program" completion zsh >"$stage/completions/zsh/_etcd-tlsproxy"
"$program" completion fish >"$stage/completions/fish/etcd-tlsproxy.fish"
deploy/licenses.sh >"$stage/third-party-licenses.txt"
cat >"$stage/debian/changelog" <<TEXT
etcd-tlsproxy ($version) ${DEB_DISTRIBUTION:-bookworm}; urgency=medium

  * Release $released; changelog.gz lists the changes.

 -- $(sed -n 's/^Maintainer: //p' deploy/debian/control)  $(date -u -R -d "@$SOURCE_DATE_EPOCH")
TEXT

cd "$stage"
# -d skips the check of build dependencies: Go need not be a Debian package, and no C compiler is needed.
dpkg-buildpackage --build=binary -us -uc -d >"$out/stage/build.log" 2>&1 || { cat "$out/stage/build.log" >&2; exit 1; }
mv "$out"/stage/etcd-tlsproxy_* "$out/"
echo "$out/etcd-tlsproxy_${version}_$(dpkg-architecture -qDEB_HOST_ARCH).deb"

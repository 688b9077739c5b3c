#!/usr/bin/env bash
# Checks the release process without making a release here: it tags a clone of this commit v1.999.0-rc.1 and runs
# deploy/release.sh in it. The program, the package and the SBOM must have that version.
set -euo pipefail
cd "$(dirname "$0")/.."

fail() { echo "$0: $*" >&2; exit 1; }

# dpkg must sort the versions in the same order as Go.
before=0
for version in v0.0.0-20261124132356-85d58d44e2a2 v0.9.0-rc.1 v0.9.0 v0.9.1-0.20261124132356-85d58d44e2a2 v0.9.1 v0.10.0-rc.1.0.20261124132356-85d58d44e2a2 v0.10.0 v0.10.0+dirty v1.0.0; do
	debian=$(deploy/debian-version.sh "$version")
	dpkg --compare-versions "$before-1" lt "$debian-1" || fail "$version: dpkg does not sort $debian after $before"
	before=$debian
done
if deploy/debian-version.sh latest 2>/dev/null; then fail "debian-version.sh accepted latest, which is not a valid version"; fi

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
git clone --quiet "$PWD" "$work/clone"
git -C "$work/clone" -c user.name=check -c user.email=check@example.org tag -a -m check v1.999.0-rc.1
RELEASE_CACHE=${RELEASE_CACHE:-shared} "$work/clone/deploy/release.sh" "$work/release"
cd "$work/release"
sha256sum --quiet --check SHA256SUMS
platform=$(go env GOOS)_$(go env GOARCH)
[[ $("./etcd-tlsproxy_v1.999.0-rc.1_$platform" version) == 'etcd-tlsproxy v1.999.0-rc.1 '* ]] || fail "the version of the program is not v1.999.0-rc.1"
package=(etcd-tlsproxy_1.999.0~rc.1-1_*.deb)
[[ $(dpkg-deb --field "${package[0]}" Version) == 1.999.0~rc.1-1 ]] || fail "the version of the package is not 1.999.0~rc.1-1"
dpkg-deb --fsys-tarfile "${package[0]}" | tar -xO ./usr/bin/etcd-tlsproxy | cmp - "etcd-tlsproxy_v1.999.0-rc.1_$platform" || fail "the program in the package differs from the released program"
# The SBOM must list exactly the modules that are linked into the program.
named() { sed -n 's/^ *"purl": "pkg:golang\/\([^?"]*\).*/\1/p' etcd-tlsproxy_v1.999.0-rc.1.cdx.json | grep -v '^std@\|^etcd-tlsproxy@' | sed 's/%2F/\//g' | LC_ALL=C sort -u; }
linked() { go version -m "etcd-tlsproxy_v1.999.0-rc.1_$platform" | awk '$1=="dep"{print $2 "@" $3}' | LC_ALL=C sort -u; }
diff <(named) <(linked) || fail "the SBOM and the program list different modules"
echo "a release from the tag v1.999.0-rc.1 has that version in all its parts, and two builds are equal"

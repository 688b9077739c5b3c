#!/usr/bin/env bash
# Makes a release of the commit that is checked out: deploy/release.sh FOLDER. Program, Debian package, SBOM and
# SHA256SUMS are made in two clones of different depth and length of path, and only files whose bytes are the same
# in both are released. What is not committed is not in it. Needs git, Go, debhelper and dpkg-dev.
#
# The second clone is compiled with an empty cache, so that all of it is compiled twice; RELEASE_CACHE=shared saves
# that minute, and still tells whether paths or times get into the files.
set -euo pipefail
out=$(realpath -m "$1")
cd "$(dirname "$0")/.."

# The SBOM's tool is not of the product: its version is pinned here and not in go.mod.
sbom=github.com/CycloneDX/cyclonedx-gomod/cmd/cyclonedx-gomod@v1.10.0

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
make_one() { # clone
	local clone=$1 version
	git clone --quiet "$PWD" "$clone"
	(
		cd "$clone"
		deploy/build.sh dist/etcd-tlsproxy
		version=$(dist/etcd-tlsproxy version | cut -d' ' -f2)
		deploy/deb.sh dist/etcd-tlsproxy dist/release >/dev/null
		rm -rf dist/release/stage dist/release/*.buildinfo dist/release/*.changes # they name the machine
		# Without a serial number and a time, which would differ each time, it names what was linked.
		CGO_ENABLED=0 go run "$sbom" app -json -std -noserial -notimestamp -main cmd/etcd-tlsproxy \
			-output "dist/release/etcd-tlsproxy_$version.cdx.json" . 2>"$clone.sbom.log" || { cat "$clone.sbom.log" >&2; exit 1; }
		mv dist/etcd-tlsproxy "dist/release/etcd-tlsproxy_${version}_$(go env GOOS)_$(go env GOARCH)"
		cd dist/release
		sha256sum -- * >SHA256SUMS
	)
}
make_one "$work/one"
[[ ${RELEASE_CACHE:-} == shared ]] || export GOCACHE=$work/cache
make_one "$work/another/folder/with/a/longer/path"
if ! diff -r "$work/one/dist/release" "$work/another/folder/with/a/longer/path/dist/release"; then
	echo "$0: two builds of one commit differ" >&2
	exit 1
fi
rm -rf "$out"
mkdir -p "$out"
cp "$work"/one/dist/release/* "$out/"
cat "$out/SHA256SUMS"

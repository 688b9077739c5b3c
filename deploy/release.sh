#!/usr/bin/env bash
# Makes a release of the checked-out commit: deploy/release.sh FOLDER. It builds the program, the Debian package, the SBOM
# and SHA256SUMS in two clones whose paths differ in depth and length, and fails if a byte differs between them. Changes
# that are not committed are not in the release. Needs git, Go, debhelper and dpkg-dev.
#
# The second clone is compiled with an empty cache, so that everything is compiled twice. RELEASE_CACHE=shared saves
# that minute and still detects paths and times in the files.
set -euo pipefail
out=$(realpath -m "$1")
cd "$(dirname "$0")/.."

# The SBOM tool is not part of the product: its version is pinned here and not in go.mod.
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
		rm -rf dist/release/stage dist/release/*.buildinfo dist/release/*.changes # they describe this machine
		# The SBOM lists the linked modules. A serial number and a time would differ in each run.
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

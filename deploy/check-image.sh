#!/usr/bin/env bash
# Builds the container image and runs it: deploy/check-image.sh. buildah builds deploy/container/Dockerfile as it is, in a
# clone of the last commit. Its base image is made here, from Debian and the Go toolchain of this machine, under the name
# that the Dockerfile has; no registry is needed. The built image then runs in front of an etcd, with the command, the user
# and the health check of the Dockerfile. All images are in a temporary folder.
#
# Needs root, buildah, mmdebstrap, etcd-server, curl, openssl and jq, a Debian mirror, and Go's modules in its cache.
set -euo pipefail
cd "$(dirname "$0")/.."
source=$PWD

fail() { echo "$0: $*" >&2; exit 1; }
for tool in buildah mmdebstrap etcd curl openssl jq; do
	command -v "$tool" >/dev/null || fail "$tool is missing: apt-get install buildah mmdebstrap etcd-server curl openssl jq"
done
[[ $(id -u) == 0 ]] || fail "run it as root: it builds images"

work=$(mktemp -d)
running=()
export BUILDAH_ISOLATION=chroot
# The driver vfs copies files, and so needs no right to mount.
images() { buildah --storage-driver vfs --root "$work/images" --runroot "$work/run" "$@"; }
stop_all() {
	((${#running[@]} == 0)) || kill "${running[@]}" 2>/dev/null || true
	wait
	images umount --all >/dev/null 2>&1 || true
	rm -rf "$work"
}
trap stop_all EXIT

# The base image: as much of it as the Dockerfile uses.
pinned=$(sed -n 's/^ARG GO_IMAGE=//p' deploy/container/Dockerfile)
name=${pinned%@*} # what is made here has another digest than the image of that name
[[ $name ]] || fail "the Dockerfile names no base image"
goroot=$(go env GOROOT)
[[ $("$goroot/bin/go" env GOVERSION) == "go$(sed -n 's/^.*golang:\([0-9.]*\)-.*/\1/p' <<<"$name")"* ]] || fail "the Dockerfile wants $name, and this machine has $("$goroot/bin/go" env GOVERSION)"
mmdebstrap --quiet --variant=minbase --include=ca-certificates,git bookworm "$work/base.tar"
base=$(images from scratch)
images add --quiet "$base" "$work/base.tar" / >/dev/null
images add --quiet "$base" "$goroot" /usr/local/go >/dev/null
images config --env PATH=/usr/local/go/bin:/usr/bin:/bin --env GOPATH=/go --env GOTOOLCHAIN=local "$base"
images commit --quiet --rm "$base" "$name" >/dev/null
rm "$work/base.tar"

# The version comes from git, so the build needs a clone. Modules come from this machine's cache.
git clone --quiet "$source" "$work/clone"
images build --quiet --pull=never --volume "$(go env GOMODCACHE)":/go/pkg/mod --env GOPROXY=off --build-arg GO_IMAGE="$name" --file "$work/clone/deploy/container/Dockerfile" --tag etcd-tlsproxy "$work/clone" >"$work/built" 2>&1 ||
	fail "building the image: $(tail -n 20 "$work/built")"

images inspect --type image etcd-tlsproxy >"$work/image.json"
config() { jq -r ".OCIv1.config$1" "$work/image.json"; }
user=$(config .User)
[[ $user == 64001:64001 && $(config '.Entrypoint[0]') == /usr/bin/etcd-tlsproxy && $(config .StopSignal) == SIGTERM ]] || fail "the image has another configuration: $(config '')"
container=$(images from etcd-tlsproxy)
root=$(images mount "$container")
list=$(cd "$root" && find . -type f -not -path './proc/*' -not -path './dev/*' -not -path './sys/*' | sort | tr '\n' ' ')
[[ $list == './etc/ssl/certs/ca-certificates.crt ./usr/bin/etcd-tlsproxy ./usr/share/doc/etcd-tlsproxy/LICENSE ./usr/share/doc/etcd-tlsproxy/third-party-licenses.txt ' ]] || fail "the image contains other files: $list"
commit=$(git -C "$work/clone" rev-parse --short=12 HEAD)
version=$(images run "$container" -- /usr/bin/etcd-tlsproxy version)
[[ $version == *"$commit"* || $version == *" $(git -C "$work/clone" describe --exact-match 2>/dev/null) "* ]] || fail "the program in the image is $version, want the version of commit $commit"

# Run it. buildah shares the network of this machine, so the ports are free ones of loopback.
deploy/container/prepare.sh "$work/files" >/dev/null
port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }
etcd=$(port) peer=$(port) https=$(port) admin=$(port)
sed -i -e "s|^admin = .*|listen = \"127.0.0.1:$https\"\nadmin = \"127.0.0.1:$admin\"|" -e "s|http://etcd:2379|http://127.0.0.1:$etcd|" "$work/files/etcd-tlsproxy.toml"
etcd --data-dir "$work/etcd" --enable-v2 --listen-client-urls "http://127.0.0.1:$etcd" --advertise-client-urls "http://127.0.0.1:$etcd" \
	--listen-peer-urls "http://127.0.0.1:$peer" --initial-advertise-peer-urls "http://127.0.0.1:$peer" --initial-cluster "default=http://127.0.0.1:$peer" >"$work/etcd.log" 2>&1 &
running+=($!)
mapfile -t command < <(config ' | (.Entrypoint + .Cmd)[]')
mapfile -t probe < <(sed -n 's/^HEALTHCHECK .*CMD \[\(.*\)\]$/\1/p' deploy/container/Dockerfile | tr ',' '\n' | tr -d '" ')
((${#probe[@]} > 0)) || fail "the Dockerfile has no health check"
inside() { images run --user "$user" --volume "$work/files:/etc/etcd-tlsproxy:ro" "$container" -- "$@"; }
inside "${command[@]}" >"$work/proxy.log" 2>&1 &
running+=($!)

eventually() { # waits for a condition that another process causes
	local limit=$((SECONDS + 30))
	until "$@" >/dev/null 2>&1; do
		((SECONDS < limit)) || fail "waited 30 s in vain for: $*: $(tail -n 5 "$work"/*.log)"
		sleep 0.1
	done
}
request() { curl --silent --fail-with-body --cacert "$work/files/ca.crt" "$@"; }
eventually request "https://localhost:$https/v2/keys/"
inside "${probe[@]}" >/dev/null || fail "the health check of the image fails"
password=$(cat "$work/files/conftool.password")
answer=$(request -K <(echo "user = conftool:$password") -X PUT -d value=1 "https://localhost:$https/v2/keys/conftool/a") || fail "a write with the right password failed: $answer"
status=$(request -o /dev/null -w '%{http_code}' -X PUT -d value=1 "https://localhost:$https/v2/keys/a") || true
[[ $status == 401 ]] || fail "a write without a password: got status $status, want 401"
proxy=$(pgrep --uid "${user%:*}" --exact etcd-tlsproxy) || fail "the program does not run as the user ${user%:*}"
kill "$proxy"
wait "${running[1]}" || fail "the program exited with $? after SIGTERM: $(tail -n 5 "$work/proxy.log")"
if inside "${probe[@]}" >/dev/null 2>&1; then fail "the health check succeeds though no proxy runs"; fi
echo "the image was built from the Dockerfile, and serves as user $user in front of an etcd"

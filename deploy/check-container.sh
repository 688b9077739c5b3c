#!/usr/bin/env bash
# Checks the container as far as possible without a container engine: deploy/check-container.sh PROGRAM. The loader of
# the Compose specification must accept compose.yaml. The program runs in a folder that holds only the files of the
# image, as the user of the image, without capabilities, in a separate network, in front of an etcd with the flags of
# compose.yaml. deploy/check-image.sh builds the Dockerfile. Needs root, etcd-server, curl, openssl and iproute2.
set -euo pipefail
program=$(realpath "$1")
cd "$(dirname "$0")/container"

fail() { echo "$0: $*" >&2; exit 1; }
for tool in etcd curl openssl ip readelf unshare nsenter; do
	command -v "$tool" >/dev/null || fail "$tool is missing: apt-get install etcd-server curl openssl iproute2 binutils util-linux"
done
[[ $(id -u) == 0 ]] || fail "run it as root: it changes the root folder of a process"

work=$(mktemp -d)
running=()
stop_all() {
	((${#running[@]} == 0)) || kill "${running[@]}" 2>/dev/null || true
	wait
	rm -rf "$work"
}
trap stop_all EXIT

# The image is built on GO_IMAGE alone, which has the Go version of go.mod and, if it is pinned, a whole digest. A wrong one
# would fail only where the image is built.
base=$(sed -n 's/^ARG GO_IMAGE=//p' Dockerfile)
go=$(sed -n 's/^go \([0-9]*\.[0-9]*\).*/\1/p' ../../go.mod)
[[ $base =~ ^docker\.io/library/golang:${go//./\\.}(\.[0-9]+)?-[a-z]+(@sha256:[0-9a-f]{64})?$ ]] ||
	fail "the Dockerfile has GO_IMAGE=$base, want docker.io/library/golang:$go-DEBIAN, followed by @sha256: and 64 digits if it is pinned"
# shellcheck disable=SC2016 # the name of the variable is meant
others=$(grep '^FROM ' Dockerfile | grep -v -e '^FROM \${GO_IMAGE} AS build$' -e '^FROM scratch$') || true
[[ ! $others ]] || fail "the Dockerfile has $others, want only \${GO_IMAGE} and scratch"

compose=github.com/compose-spec/compose-go/v2/cmd@v2.16.2
go run "$compose" compose.yaml >"$work/compose" 2>"$work/errors" || fail "compose.yaml: $(cat "$work/errors")"

# The image contains no shell and no libraries, so the program must be static.
if readelf --program-headers "$program" | grep -q INTERP; then fail "the program is not static"; fi

./prepare.sh "$work/files" >/dev/null
root=$work/root
mkdir -p "$root"/{usr/bin,etc/etcd-tlsproxy,proc}
cp "$program" "$root/usr/bin/etcd-tlsproxy"
cp -a "$work"/files/{etcd-tlsproxy.toml,server.crt,server.key,htpasswd} "$root/etc/etcd-tlsproxy/"
echo '127.0.0.1 etcd localhost' >"$root/etc/hosts" # a container engine writes such a file
chmod 0755 "$work" "$root"

# This process keeps a network and a mount namespace open. All others run in them, at the ports of compose.yaml.
unshare --net --mount sleep 300 &
network=$!
running+=("$network")
inside=(nsenter --target "$network" --net --mount --wd="$PWD" --)
eventually() { # waits for a condition that another process causes
	local limit=$((SECONDS + 30))
	until "$@" >/dev/null 2>&1; do
		((SECONDS < limit)) || fail "waited 30 s in vain for: $*: $(tail -n 5 "$work"/*.log)"
		sleep 0.1
	done
}
separated() { [[ $(readlink "/proc/$network/ns/mnt") != "$(readlink /proc/self/ns/mnt)" ]]; }
eventually separated
"${inside[@]}" ip link set lo up
"${inside[@]}" mount -t proc proc "$root/proc" # a container engine mounts it too

mapfile -t flags < <(sed -n '/^  etcd1:/,/^  etcd2:/s/^      - \(--.*\)/\1/p' compose.yaml | grep -v -e --initial- -e --data-dir)
[[ ${flags[*]} == *--enable-v2* ]] || fail "compose.yaml has no flags for etcd1"
"${inside[@]}" etcd "${flags[@]}" --data-dir="$work/data" --initial-advertise-peer-urls=http://127.0.0.1:2380 \
	--initial-cluster=etcd1=http://127.0.0.1:2380 >"$work/etcd.log" 2>&1 &
running+=($!)
user=$(sed -n 's/^USER //p' Dockerfile)
mapfile -t arguments < <(sed -n 's/^CMD \[\(.*\)\]$/\1/p' Dockerfile | tr ',' '\n' | tr -d '" ')
"${inside[@]}" chroot --userspec="$user" --groups= "$root" "$(sed -n 's/^ENTRYPOINT \["\(.*\)"\]$/\1/p' Dockerfile)" "${arguments[@]}" >"$work/proxy.log" 2>&1 &
proxy=$!
running+=("$proxy")

request() { "${inside[@]}" curl --silent --fail-with-body --cacert "$work/files/ca.crt" "$@"; }
eventually request http://127.0.0.1:4002/-/ready
eventually request https://localhost:4001/v2/keys/
[[ $(awk '/^Uid:/{print $2}' "/proc/$proxy/status") == "${user%:*}" ]] || fail "the program does not run as the user ${user%:*}"
[[ $(awk '/^CapEff:/{print $2}' "/proc/$proxy/status") == 0000000000000000 ]] || fail "the program has capabilities"
password=$(cat "$work/files/conftool.password")
answer=$(request -K <(echo "user = conftool:$password") -X PUT -d value=1 https://localhost:4001/v2/keys/conftool/a) || fail "a write with the right password failed: $answer"
status=$(request -o /dev/null -w '%{http_code}' -X PUT -d value=1 https://localhost:4001/v2/keys/a) || true
[[ $status == 401 ]] || fail "a write without a password: got status $status, want 401"
kill "$proxy"
wait "$proxy" || fail "the program exited with $? after SIGTERM: $(tail -n 5 "$work/proxy.log")"
echo "compose.yaml is valid, and the program serves as user $user with only the files of the image."

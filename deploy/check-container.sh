#!/usr/bin/env bash
# Checks the container as far as that goes without an engine: deploy/check-container.sh PROGRAM. The loader of the
# Compose specification reads compose.yaml. The files that the image has are put into an empty folder, where the
# program runs without rights, as the image's user, in a network of its own, before an etcd with the flags of
# compose.yaml. What it does not do is build the Dockerfile. Needs root, etcd-server, curl, openssl and iproute2.
set -euo pipefail
program=$(realpath "$1")
cd "$(dirname "$0")/container"

fail() { echo "$0: $*" >&2; exit 1; }
for tool in etcd curl openssl ip readelf unshare nsenter; do
	command -v "$tool" >/dev/null || fail "$tool is missing: apt-get install etcd-server curl openssl iproute2 binutils util-linux"
done
[[ $(id -u) == 0 ]] || fail "it changes its root folder, for which it must be root"

work=$(mktemp -d)
running=()
end() {
	((${#running[@]} == 0)) || kill "${running[@]}" 2>/dev/null || true
	wait
	rm -rf "$work"
}
trap end EXIT

compose=github.com/compose-spec/compose-go/v2/cmd@v2.16.2
go run "$compose" compose.yaml >"$work/compose" 2>"$work/complaints" || fail "compose.yaml: $(cat "$work/complaints")"

# No shell and no libraries are in the image: the program must do without.
if readelf --program-headers "$program" | grep -q INTERP; then fail "the program is not static"; fi

./prepare.sh "$work/files" >/dev/null
root=$work/root
mkdir -p "$root"/{usr/bin,etc/etcd-tlsproxy,proc}
cp "$program" "$root/usr/bin/etcd-tlsproxy"
cp -a "$work"/files/{etcd-tlsproxy.toml,server.crt,server.key,htpasswd} "$root/etc/etcd-tlsproxy/"
echo '127.0.0.1 etcd localhost' >"$root/etc/hosts" # as an engine writes it
chmod 0755 "$work" "$root"

# A process that keeps a network, in which all others then run at the ports of compose.yaml, and what is mounted.
unshare --net --mount sleep 300 &
network=$!
running+=("$network")
inside=(nsenter --target "$network" --net --mount --wd="$PWD" --)
eventually() { # what another process brings about
	local limit=$((SECONDS + 30))
	until "$@" >/dev/null 2>&1; do
		((SECONDS < limit)) || fail "it never came to this: $*: $(tail -n 5 "$work"/*.log)"
		sleep 0.1
	done
}
apart() { [[ $(readlink "/proc/$network/ns/mnt") != "$(readlink /proc/self/ns/mnt)" ]]; }
eventually apart
"${inside[@]}" ip link set lo up
"${inside[@]}" mount -t proc proc "$root/proc" # as an engine does

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

ask() { "${inside[@]}" curl --silent --fail-with-body --cacert "$work/files/ca.crt" "$@"; }
eventually ask http://127.0.0.1:4002/-/ready
eventually ask https://localhost:4001/v2/keys/
[[ $(awk '/^Uid:/{print $2}' "/proc/$proxy/status") == "${user%:*}" ]] || fail "it runs as another user"
[[ $(awk '/^CapEff:/{print $2}' "/proc/$proxy/status") == 0000000000000000 ]] || fail "it runs with rights"
password=$(cat "$work/files/conftool.password")
answer=$(ask -K <(echo "user = conftool:$password") -X PUT -d value=1 https://localhost:4001/v2/keys/conftool/a) || fail "a write: $answer"
status=$(ask -o /dev/null -w '%{http_code}' -X PUT -d value=1 https://localhost:4001/v2/keys/a) || true
[[ $status == 401 ]] || fail "a write without a password: $status"
kill "$proxy"
wait "$proxy" || fail "it ended with $?: $(tail -n 5 "$work/proxy.log")"
echo "compose.yaml is of the specification; as user $user, with no other file, the program serves. The image was not built."

#!/usr/bin/env bash
# Creates the files that compose.yaml mounts: deploy/container/prepare.sh [FOLDER]. The folder, deploy/container/files
# by default, gets a CA, a certificate for localhost, two users with random passwords, and the configuration. It must not
# exist yet.
set -euo pipefail
cd "$(dirname "$0")"
files=$(realpath -m "${1:-files}")
[[ ! -e $files ]] || { echo "$0: $files already exists; remove it to start again" >&2; exit 1; }

mkdir -p "$files"
cp etcd-tlsproxy.toml "$files/"
cd "$files"
key=(-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes)
openssl req -x509 "${key[@]}" -days 365 -subj '/CN=etcd-tlsproxy test CA' -keyout ca.key -out ca.crt 2>/dev/null
openssl req "${key[@]}" -subj /CN=localhost -keyout server.key -out server.csr 2>/dev/null
openssl x509 -req -in server.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 90 -out server.crt \
	-extfile <(printf 'subjectAltName=DNS:localhost,IP:127.0.0.1\nextendedKeyUsage=serverAuth\n') 2>/dev/null
# The CA must not sign anything else, so its key is deleted.
rm ca.key ca.srl server.csr
for user in root conftool; do
	password=$(openssl rand -base64 18)
	echo "$user:$(openssl passwd -6 -stdin <<<"$password")" >>htpasswd
	(umask 077; echo "$password" >"$user.password")
done
# 64001 is the user of the image. If the files cannot be given to it, they are readable for everyone.
chown 64001:64001 server.key htpasswd 2>/dev/null || chmod 0644 server.key htpasswd
echo "created $files; the passwords are in root.password and conftool.password"

#!/usr/bin/env bash
# Prints the license and notice texts of Go and of each module that is linked into the program: their licenses require
# that copies include them. Fails if a module has none.
set -euo pipefail
cd "$(dirname "$0")/.."

show() { # name folder
	local name=$1 folder=$2 file found=
	for file in "$folder"/{LICENSE,LICENCE,COPYING,NOTICE,PATENTS}{,.md,.txt}; do
		[[ -f $file ]] || continue
		found=yes
		printf '\n%s\n%s: %s\n%s\n\n' "$line" "$name" "${file##*/}" "$line"
		cat "$file"
	done
	[[ $found ]] || { echo "$0: $name has no license file in $folder" >&2; exit 1; }
}
line=$(printf '=%.0s' {1..100})

echo "etcd-tlsproxy contains these third-party parts."
show "Go" "$(go env GOROOT)"
CGO_ENABLED=0 go list -deps -f '{{with .Module}}{{if not .Main}}{{.Path}} {{.Version}} {{.Dir}}{{end}}{{end}}' ./cmd/etcd-tlsproxy |
	LC_ALL=C sort -u | while read -r path version folder; do show "$path $version" "$folder"; done

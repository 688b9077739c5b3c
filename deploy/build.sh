#!/usr/bin/env bash
# Builds the program as it is released: deploy/build.sh FILE. The same commit and the same Go give the same
# bytes in any folder. Go takes the version from git: v1.2.3 at that tag, else a pseudo-version of the commit.
set -euo pipefail
out=$(realpath -m "$1")
cd "$(dirname "$0")/.."

# -trimpath keeps this machine's paths out, CGO_ENABLED=0 its C library. -buildvcs is named because GOFLAGS of
# a build machine may turn it off; "auto" builds a tree without git, too, whose version is then (devel).
CGO_ENABLED=0 go build -trimpath -buildvcs=auto -ldflags '-s -w' -o "$out" ./cmd/etcd-tlsproxy

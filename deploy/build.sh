#!/usr/bin/env bash
# Builds the program for a release: deploy/build.sh FILE. The same commit and the same Go release give the same bytes in
# every folder. Go derives the version from git: v1.2.3 at that tag, otherwise a pseudo-version of the commit.
set -euo pipefail
out=$(realpath -m "$1")
cd "$(dirname "$0")/.."

# -trimpath keeps the paths of this machine out of the program, CGO_ENABLED=0 its C library. -buildvcs is explicit
# because GOFLAGS of a build machine may turn it off. "auto" can also build a tree without git; its version is (devel).
# -pgo has the compiler optimize the functions that are busy; make profile measures which they are.
CGO_ENABLED=0 go build -trimpath -buildvcs=auto -pgo="$PWD/deploy/profile.pgo" -ldflags '-s -w' -o "$out" ./cmd/etcd-tlsproxy

#!/usr/bin/env bash
# Prints the Debian form of a Go version: deploy/debian-version.sh v1.2.3-rc.1 prints 1.2.3~rc.1, which dpkg sorts
# before 1.2.3. A pseudo-version sorts after the release before it and before the release after it.
set -euo pipefail

version=${1#v}
case $version in
	'(devel)') version=0.0.0~devel ;; # built without git
	[0-9]*) ;;
	*) echo "$0: $1 is not a valid version; want one like v1.2.3" >&2; exit 1 ;;
esac
build=
if [[ $version == *+* ]]; then
	build=+${version#*+} version=${version%%+*} # for example +dirty, which sorts after the version
fi
# The part after a hyphen marks a version before the release. Debian writes it after a tilde. Further hyphens would
# begin the Debian revision, so they become dots.
if [[ $version == *-* ]]; then
	rest=${version#*-}
	version=${version%%-*}~${rest//-/.}
fi
echo "$version$build"

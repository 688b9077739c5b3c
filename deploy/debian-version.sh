#!/usr/bin/env bash
# Prints Debian's form of a version of Go's: deploy/debian-version.sh v1.2.3-rc.1 gives 1.2.3~rc.1, which dpkg
# sorts before 1.2.3. A pseudo-version sorts after the release before it and before the one that follows.
set -euo pipefail

version=${1#v}
case $version in
	'(devel)') version=0.0.0~devel ;; # built without git
	[0-9]*) ;;
	*) echo "$0: $1 is no version: it should be like v1.2.3" >&2; exit 1 ;;
esac
build=
if [[ $version == *+* ]]; then
	build=+${version#*+} version=${version%%+*} # as in +dirty, which sorts after
fi
# What semantic versions put behind a hyphen comes before the release, which Debian writes with a tilde;
# further hyphens would begin Debian's own revision.
if [[ $version == *-* ]]; then
	rest=${version#*-}
	version=${version%%-*}~${rest//-/.}
fi
echo "$version$build"

#!/usr/bin/env bash
# Prints MANUAL.md as a man page of section 7: deploy/manual-page.sh MANUAL.md. The converter is the one that makes the
# pages of the commands, in the release that go.mod names.
set -euo pipefail
manual=$(realpath "$1")
cd "$(dirname "$0")/.."
{
	printf '%% etcd-tlsproxy-manual 7 "" "etcd-tlsproxy" "etcd-tlsproxy"\n\n# NAME\netcd-tlsproxy-manual - how to install and operate etcd-tlsproxy\n\n# DESCRIPTION\n'
	# The title is above. Sections of the manual become sections of the page, and links to files of the repository their text.
	# shellcheck disable=SC2016 # the backquotes are those of Markdown
	sed -E -e 1d -e 's/^## /# /' -e 's/^### /## /' -e 's/^```[a-z].*$/```/' -e 's/\[([^]]*)\]\(([^h)][^)]*)\)/\1/g' "$manual"
} | go run github.com/cpuguy83/go-md2man/v2

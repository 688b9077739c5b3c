package recovery

import (
	"fmt"
	"regexp"
	"strings"
)

// script writes the plan as one shell script for the first member's machine. It sends the
// steps of other machines through the remote shell; without one, the operator can run
// them by hand.
func (r *Recovery) script(p *Plan) string {
	var b strings.Builder
	what, end := "Recovers the cluster", "the cluster is recovered; the comments at the end of this script say what to do now"
	if r.Undo != "" {
		what, end = "Puts the data from before a recovery back: the cluster", "the old data is in place; the comments at the end of this script say what to do now"
	}
	fmt.Fprintf(&b, "#!/bin/sh\n%s\n#\n", comment(what+" "+initialCluster(r.Members)+". Run it as root on "+r.Members[0].Host()+"."))
	for _, fact := range p.Facts {
		fmt.Fprintf(&b, "%s\n", comment(fact))
	}
	if p.Undo != "" {
		fmt.Fprintf(&b, "%s\n", comment("This writes a script that puts the old data back, at any time and after any failure:\n  "+p.Undo))
	}
	b.WriteString(prelude)
	if p.Undo != "" {
		text := "nothing was deleted. If old data was moved: this command writes a script that puts it back on all members: " + p.Undo
		fmt.Fprintf(&b, "hint=%s\ntrap 'code=$?; [ $code = 0 ] || echo \"$hint\" >&2' EXIT\ntrap 'exit 1' HUP INT TERM\n", quote(text))
	}
	for i, s := range p.Steps {
		fmt.Fprintf(&b, "\n%s\necho %s >&2\n", comment(fmt.Sprintf("%d. %s (%s)", i+1, s.Title, s.Host)), quote(fmt.Sprintf("%d. %s", i+1, s.Title)))
		b.WriteString(r.commands(s))
	}
	fmt.Fprintf(&b, "\necho %s >&2\n#\n", quote(end))
	for _, advice := range p.Advice {
		fmt.Fprintf(&b, "%s\n", comment(advice))
	}
	return b.String()
}

// DefaultRemoteShell is the usual remote shell.
const DefaultRemoteShell = "ssh"

// endOfRemote ends the commands for another machine. No line of them is that word.
const endOfRemote = "END_OF_REMOTE"

func (r *Recovery) commands(s Step) string {
	if s.Local {
		return s.Commands
	}
	words := append(strings.Fields(r.RemoteShell), s.Host, "sh", "-s")
	return quoteAll(words) + " <<'" + endOfRemote + "'\n" + prelude + s.Commands + endOfRemote + "\n"
}

var plainWord = regexp.MustCompile(`^[A-Za-z0-9_@%+=:,./-]+$`)

// quote quotes a word for sh.
func quote(word string) string {
	if plainWord.MatchString(word) {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}

func quoteAll(words []string) string {
	quoted := make([]string, len(words))
	for i, word := range words {
		quoted[i] = quote(word)
	}
	return strings.Join(quoted, " ")
}

// comment turns every line of a text into a shell comment.
func comment(text string) string {
	return "# " + strings.ReplaceAll(text, "\n", "\n# ")
}

// prelude defines the functions that the commands of each step use.
const prelude = `set -eu
umask 077
fail() { echo "FAILED: $*" >&2; exit 1; }
owner_of() { stat -L -c %u:%g "$1"; }
# as OWNER COMMAND... runs a command with the rights of the owner of a folder. With root's
# rights it would follow every link that this owner has put there.
as() {
  rights=$1; shift
  if [ "$(id -u)" = 0 ] && [ "$rights" != 0:0 ]; then
    setpriv --reuid "${rights%:*}" --regid "${rights#*:}" --clear-groups "$@"
  else
    "$@"
  fi
}
exists() { [ -e "$1" ] || [ -L "$1" ]; }
# aside OWNER PATH NEW renames old data. Where there is none, NEW is an empty folder: what
# is at PATH later was not there before.
aside() { if exists "$2"; then as "$1" mv -T "$2" "$3"; else as "$1" mkdir "$3"; fi; }
# put_back OWNER OLD PATH ABANDONED reverses aside, and renames what is at PATH.
put_back() {
  if exists "$3"; then as "$1" mv -T "$3" "$4"; fi
  if [ -L "$2" ] || [ -n "$(ls -A "$2")" ]; then as "$1" mv -T "$2" "$3"; else as "$1" rmdir "$2"; fi
}
sums='cd "$1" && find . -type f -exec sha256sum {} + | LC_ALL=C sort'
# copy READER FROM OWNER TO copies a folder, and compares the copy.
copy() {
  as "$3" mkdir "$4"
  as "$1" tar -C "$2" -cf - . | as "$3" tar -C "$4" --no-same-owner --no-same-permissions -xf -
  original=$(as "$1" sh -c "$sums" sh "$2") copied=$(as "$3" sh -c "$sums" sh "$4")
  [ -n "$original" ] && [ "$original" = "$copied" ] || fail "the copy of $2 differs"
}
# wait_for WHAT SECONDS COMMAND... runs the command every second until it succeeds. What it
# says before that is no fault, and is shown only if the time is up.
wait_for() {
  what=$1 left=$2; shift 2
  until said=$("$@" 2>&1); do
    left=$((left - 1)); [ "$left" -gt 0 ] || fail "timeout while waiting for $what${said:+: $said}"
    sleep 1
  done
}
`

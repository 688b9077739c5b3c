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
	fmt.Fprintf(&b, "#!/bin/sh\n%s\n#\n", comment("Recovers the cluster "+initialCluster(r.Members)+". Run it as root on "+r.Members[0].Host()+"."))
	for _, fact := range p.Facts {
		fmt.Fprintf(&b, "%s\n", comment(fact))
	}
	b.WriteString(prelude)
	for i, s := range p.Steps {
		fmt.Fprintf(&b, "\n%s\necho %s >&2\n", comment(fmt.Sprintf("%d. %s (%s)", i+1, s.Title, s.Host)), quote(fmt.Sprintf("%d. %s", i+1, s.Title)))
		b.WriteString(r.commands(s))
	}
	b.WriteString("\necho 'the cluster is recovered' >&2\n#\n")
	for _, advice := range p.Advice {
		fmt.Fprintf(&b, "%s\n", comment(advice))
	}
	return b.String()
}

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
fail() { echo "FAILED: $*" >&2; exit 1; }
# wait_for WHAT SECONDS COMMAND... runs the command every second until it succeeds.
wait_for() {
  what=$1 left=$2; shift 2
  until "$@"; do
    left=$((left - 1)); [ "$left" -gt 0 ] || fail "timeout while waiting for $what"
    sleep 1
  done
}
`

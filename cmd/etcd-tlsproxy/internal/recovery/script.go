package recovery

import (
	"fmt"
	"regexp"
	"strings"
)

// script is the plan as one program for sh, for the first member's machine. What is
// for another machine goes there through the remote shell; who has none runs what
// stands there by hand.
func (r *Recovery) script(p *Plan) string {
	var b strings.Builder
	fmt.Fprintf(&b, "#!/bin/sh\n%s\n#\n", comment("Brings the cluster "+initialCluster(r.Members)+" back. To be run as root on "+r.Members[0].Host()+"."))
	for _, fact := range p.Facts {
		fmt.Fprintf(&b, "%s\n", comment(fact))
	}
	b.WriteString(prelude)
	for i, s := range p.Steps {
		fmt.Fprintf(&b, "\n%s\necho %s >&2\n", comment(fmt.Sprintf("%d. %s (%s)", i+1, s.Title, s.Host)), quote(fmt.Sprintf("%d. %s", i+1, s.Title)))
		b.WriteString(r.commands(s))
	}
	b.WriteString("\necho 'the cluster is back' >&2\n#\n")
	for _, advice := range p.Advice {
		fmt.Fprintf(&b, "%s\n", comment(advice))
	}
	return b.String()
}

// endOfRemote ends what goes to another machine. No command of ours is that word.
const endOfRemote = "END_OF_REMOTE"

func (r *Recovery) commands(s Step) string {
	if s.Local {
		return s.Commands
	}
	words := append(strings.Fields(r.RemoteShell), s.Host, "sh", "-s")
	return quoteAll(words) + " <<'" + endOfRemote + "'\n" + prelude + s.Commands + endOfRemote + "\n"
}

var plainWord = regexp.MustCompile(`^[A-Za-z0-9_@%+=:,./-]+$`)

// quote writes a word so that sh reads it as it is.
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

// comment makes every line of a text one that sh ignores.
func comment(text string) string {
	return "# " + strings.ReplaceAll(text, "\n", "\n# ")
}

// prelude is what the commands of each step use.
const prelude = `set -eu
fail() { echo "FAILED: $*" >&2; exit 1; }
# wait_for WHAT SECONDS COMMAND... asks every second until the command succeeds.
wait_for() {
  what=$1 left=$2; shift 2
  until "$@"; do
    left=$((left - 1)); [ "$left" -gt 0 ] || fail "waited in vain for $what"
    sleep 1
  done
}
`

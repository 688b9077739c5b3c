package recovery

import (
	"regexp"
	"strings"
)

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

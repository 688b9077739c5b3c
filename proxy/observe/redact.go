package observe

import "strings"

// shownParameters are logged with their values: flags, times and indexes. Any other
// parameter can hold what operators keep in etcd, or a password.
var shownParameters = map[string]bool{
	"wait": true, "waitIndex": true, "stream": true, "recursive": true, "sorted": true, "quorum": true,
	"dir": true, "ttl": true, "refresh": true, "prevExist": true, "prevIndex": true, "noValueOnSuccess": true,
}

// redactQuery returns the query in a form that is safe to log. The values of unknown
// parameters are left out, and so are names that are not plain words.
func redactQuery(query string) string {
	if query == "" {
		return ""
	}
	var b strings.Builder
	for pair := range strings.SplitSeq(query, "&") {
		name, value, hasValue := strings.Cut(pair, "=")
		if b.Len() > 0 {
			b.WriteByte('&')
		}
		switch {
		case shownParameters[name] && isWord(value):
			b.WriteString(pair)
		case isWord(name) && hasValue:
			b.WriteString(name + "=-")
		case isWord(name):
			b.WriteString("-") // the client may mean "?secret" as a value
		default:
			b.WriteString("-=-")
		}
	}
	return b.String()
}

func isWord(s string) bool {
	for i := range len(s) {
		c := s[i]
		if (c < '0' || c > '9') && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') {
			return false
		}
	}
	return len(s) <= 32
}

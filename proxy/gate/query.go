package gate

import (
	"net/url"
	"strconv"
	"strings"
)

// query is the query of a read, as etcd understands it. Of all parameters only these change
// the answer.
type query struct {
	wait, recursive, sorted, quorum bool
	past                            bool // a waitIndex is given
	// malformed is set if etcd refuses the query.
	malformed bool
}

// readQuery reads a query like etcd: names and values are decoded, the first value of a
// name wins, and booleans are strconv's. A parameter that has no effect on a read is
// checked as well, because etcd refuses a wrong value wherever it is.
func readQuery(text string) (q query) {
	if text == "" {
		return q
	}
	var ttl, refresh, value bool
	var seen [len(parameters)]bool
	for pair := range strings.SplitSeq(text, "&") {
		name, v, _ := strings.Cut(pair, "=")
		if strings.ContainsAny(pair, "%+") {
			var err [2]error
			name, err[0] = url.QueryUnescape(name)
			v, err[1] = url.QueryUnescape(v)
			if err[0] != nil || err[1] != nil {
				q.malformed = true
				continue
			}
		}
		at := indexOf(name)
		if at < 0 || seen[at] {
			continue
		}
		seen[at] = true
		var on bool
		var err error
		switch parameters[at].kind {
		case boolean:
			on, err = strconv.ParseBool(v)
		case number:
			_, err = strconv.ParseUint(v, 10, 64)
		}
		switch name {
		case "wait":
			q.wait = on
		case "waitIndex":
			q.past = true
		case "recursive":
			q.recursive = on
		case "sorted":
			q.sorted = on
		case "quorum":
			q.quorum = on
		case "refresh":
			refresh = on
		case "value":
			value = v != ""
		case "ttl":
			if ttl = v != ""; !ttl {
				err = nil
			}
		case "prevValue":
			q.malformed = q.malformed || v == ""
		}
		q.malformed = q.malformed || err != nil
	}
	if refresh && (value || !ttl) {
		q.malformed = true
	}
	return q
}

// kind is the type of a parameter's value.
type kind int

const (
	text kind = iota
	boolean
	number
)

// parameters are those that etcd knows. It ignores all others.
var parameters = [...]struct {
	name string
	kind kind
}{
	{"recursive", boolean}, {"sorted", boolean}, {"quorum", boolean}, {"wait", boolean}, {"waitIndex", number}, {"stream", boolean},
	{"dir", boolean}, {"ttl", number}, {"refresh", boolean}, {"value", text}, {"prevValue", text}, {"prevIndex", number},
	{"prevExist", boolean}, {"noValueOnSuccess", boolean},
}

func indexOf(name string) int {
	for i := range parameters {
		if parameters[i].name == name {
			return i
		}
	}
	return -1
}

// sharedQueries has the query of each combination of what changes the answer to a read that
// ends: 1 for recursive, 2 for sorted, 4 for quorum.
var sharedQueries = [...]string{
	"", "recursive=true", "sorted=true", "recursive=true&sorted=true",
	"quorum=true", "quorum=true&recursive=true", "quorum=true&sorted=true", "quorum=true&recursive=true&sorted=true",
}

// shared returns the one query for all queries that have the same answer.
func (q query) shared() string {
	at := 0
	if q.recursive {
		at |= 1
	}
	if q.sorted {
		at |= 2
	}
	if q.quorum {
		at |= 4
	}
	return sharedQueries[at]
}

// healthQuery returns the one query for all queries of /health that have the same answer.
// etcd 3.5 knows two parameters there, and two alarms that can be excluded.
func healthQuery(text string) string {
	if text == "" {
		return ""
	}
	values, _ := url.ParseQuery(text) // like etcd, which ignores what it cannot parse
	at := 0
	for _, alarm := range values["exclude"] {
		switch alarm {
		case "NOSPACE":
			at |= 1
		case "CORRUPT":
			at |= 2
		}
	}
	if values.Get("serializable") == "true" {
		at |= 4
	}
	return healthQueries[at]
}

var healthQueries = [...]string{
	"", "exclude=NOSPACE", "exclude=CORRUPT", "exclude=CORRUPT&exclude=NOSPACE",
	"serializable=true", "exclude=NOSPACE&serializable=true", "exclude=CORRUPT&serializable=true", "exclude=CORRUPT&exclude=NOSPACE&serializable=true",
}

// Waits reports whether etcd would take the query for a watch. The result decides on
// timeouts and counters, never on rights.
func Waits(query string) bool { return readQuery(query).wait }

package statuspage

// table is a list of the JSON with the columns to show of its items.
type table struct {
	List, Title, Empty string
	Columns            []column
}

// column is one value of each item: its path in the item, and its format.
type column struct{ Title, At, As string }

// tableOf returns the table of a list.
func tableOf(list string) table {
	decisions := []column{
		{"Reads", "reads_allowed", "count"}, {"Reads refused", "reads_refused", "alarm"},
		{"Writes", "writes_allowed", "count"}, {"Writes refused", "writes_refused", "alarm"},
	}
	for _, t := range []table{
		{"windows", "Traffic", "", []column{
			{"Last", "seconds", "age"}, {"Reads/s", "reads", "rate"}, {"Writes/s", "writes", "rate"}, {"Read p50", "read_p50_ms", "ms"}, {"Read p99", "read_p99_ms", "ms"},
			{"Write p50", "write_p50_ms", "ms"}, {"Write p99", "write_p99_ms", "ms"},
			{"Read at etcd p99", "etcd_read_p99_ms", "ms"}, {"Write at etcd p99", "etcd_write_p99_ms", "ms"},
			{"Refused/s", "refused", "rate"}, {"Failed/s", "failed", "rate"}, {"Events/s", "events", "rate"}, {"Sent/s", "bytes", "bytes"},
		}},
		{"upstream.endpoints", "etcd", "", []column{
			{"Endpoint", "endpoint", "key"}, {"Health", "health", "mood"}, {"Role", "role", "text"}, {"Member", "name", "name"},
			{"Version", "version", "text"}, {"Response time", "took_ms", "ms"}, {"Checked", "checked", "since"}, {"Not up since", "failing_since", "time"}, {"Error", "error", "error"},
		}},
		{"rules", "Rules", "", append([]column{{"Prefix", "prefix", "key"}, {"May read", "read", "who"}, {"May write", "write", "who"}}, decisions...)},
		{"refusals", "Last refusals", "No request was refused yet.", []column{
			{"Last", "time", "time"}, {"Times", "times", "count"}, {"Method", "method", "text"}, {"Client", "client", "name"}, {"User", "", "user"},
			{"Key or path", "", "what"}, {"Rule", "rule", "key"}, {"Response", "", "why"},
		}},
		{"users", "Users", "No user has sent a request yet.", append([]column{{"User", "", "user"}, {"Identified by", "known", "name"}}, decisions...)},
		{"watches.largest_hubs", "Shared watches", "There are no watches.", []column{
			{"Key", "key", "key"}, {"Recursive", "recursive", "yes"}, {"Watchers", "watchers", "count"}, {"Index", "index", "count"}, {"Buffered", "remembered", "count"},
		}},
		{"limits", "Limits", "", []column{
			{"Limit", "limit", "text"}, {"In use", "", "used"}, {"Of", "", "value"}, {"Use", "percent", "share"},
		}},
		{"pools", "Shared by all clients", "", []column{
			{"Resource", "pool", "text"}, {"In use", "", "used"}, {"Total", "", "total"}, {"Waiting", "waiting", "count"}, {"Taken back", "revoked", "count"},
			{"Refused", "evicted", "count"}, {"Largest holder", "", "holder"},
		}},
		{"memory.largest", "Memory of clients", "No client holds memory.", []column{
			{"Client", "account", "error"}, {"Network", "network", "name"}, {"Memory", "used", "bytes"}, {"Authenticated", "known", "yes"},
		}},
		{"certificates", "Certificates", "", []column{
			{"For", "role", "text"}, {"Subject", "subject", "error"}, {"Expires", "not_after", "time"}, {"Left", "expires_in_seconds", "expiry"},
		}},
		{"logs", "Logs of requests", "", []column{
			{"Log", "log", "text"}, {"Written", "on", "yes"}, {"Failing", "failing", "yes"}, {"Records lost", "lost", "alarm"}, {"Last failure since", "failing_since", "time"}, {"Error", "error", "error"},
		}},
	} {
		if t.List == list {
			return t
		}
	}
	panic("BUG: there is no table of " + list)
}

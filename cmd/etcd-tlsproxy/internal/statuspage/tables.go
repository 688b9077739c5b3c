package statuspage

// table is a list of the JSON, and the columns that are shown of its items.
type table struct {
	List, Title, Empty string
	Columns            []column
}

// column is one value of each item: its path in it, and how it is written.
type column struct{ Title, At, As string }

// tableOf is the table of a list.
func tableOf(list string) table {
	decisions := []column{
		{"Reads", "reads_allowed", "count"}, {"Reads refused", "reads_refused", "alarm"},
		{"Writes", "writes_allowed", "count"}, {"Writes refused", "writes_refused", "alarm"},
	}
	for _, t := range []table{
		{"windows", "Traffic", "", []column{
			{"Last", "seconds", "age"}, {"Reads/s", "reads", "rate"}, {"Writes/s", "writes", "rate"}, {"Read p50", "read_p50_ms", "ms"}, {"Read p99", "read_p99_ms", "ms"},
			{"Write p50", "write_p50_ms", "ms"}, {"Write p99", "write_p99_ms", "ms"},
			{"Refused/s", "refused", "rate"}, {"Failed/s", "failed", "rate"}, {"Events/s", "events", "rate"}, {"Sent/s", "bytes", "bytes"},
		}},
		{"upstream.endpoints", "etcd", "", []column{
			{"Endpoint", "endpoint", "key"}, {"Health", "health", "mood"}, {"Role", "role", "text"}, {"Member", "name", "name"},
			{"Version", "version", "text"}, {"Answers in", "took_ms", "ms"}, {"Idle", "idle", "count"}, {"Checked", "checked", "since"}, {"Error", "error", "error"},
		}},
		{"rules", "Rules", "", append([]column{{"Prefix", "prefix", "key"}, {"May read", "read", "who"}, {"May write", "write", "who"}}, decisions...)},
		{"refusals", "Last refusals", "Nothing was refused yet.", []column{
			{"Last", "time", "time"}, {"Times", "times", "count"}, {"Method", "method", "text"}, {"Client", "client", "name"}, {"User", "", "user"},
			{"Key or path", "", "what"}, {"Rule", "rule", "key"}, {"Refused with", "", "why"},
		}},
		{"users", "Users", "Nobody has come yet.", append([]column{{"User", "", "user"}, {"Known by", "known", "name"}}, decisions...)},
		{"watches.largest_hubs", "Shared watches", "Nobody watches.", []column{
			{"Key", "key", "key"}, {"Recursive", "recursive", "yes"}, {"Watchers", "watchers", "count"}, {"Index", "index", "count"}, {"Remembered", "remembered", "count"},
		}},
		{"certificates", "Certificates", "", []column{
			{"For", "role", "text"}, {"Subject", "subject", "error"}, {"Expires", "not_after", "time"}, {"Left", "expires_in_seconds", "expiry"},
		}},
	} {
		if t.List == list {
			return t
		}
	}
	panic("BUG: there is no table of " + list)
}

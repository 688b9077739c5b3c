package statuspage

// table is a list of the JSON with the columns to show of its items.
type table struct {
	// Name is that of the table, and List the path of its items; they are equal if Name is empty.
	Name, List, Title, Empty string
	Columns                  []column
	// Optional is true if the list is shown only if it has items.
	Optional bool
}

// column is one value of each item: its path in the item, and its format.
type column struct{ Title, At, As string }

// tableOf returns the table with a name.
func tableOf(name string) table {
	decisions := []column{
		{"Reads", "reads_allowed", "count"}, {"Reads refused", "reads_refused", "alarm"},
		{"Writes", "writes_allowed", "count"}, {"Writes refused", "writes_refused", "alarm"},
	}
	for _, t := range []table{
		{List: "windows", Title: "Traffic", Columns: []column{
			{"Last", "seconds", "age"}, {"Reads/s", "reads", "rate"}, {"Writes/s", "writes", "rate"}, {"Read p50", "read_p50_ms", "ms"}, {"Read p99", "read_p99_ms", "ms"},
			{"Write p50", "write_p50_ms", "ms"}, {"Write p99", "write_p99_ms", "ms"},
			{"Read at etcd p99", "etcd_read_p99_ms", "ms"}, {"Write at etcd p99", "etcd_write_p99_ms", "ms"},
			{"Refused/s", "refused", "rate"}, {"Failed/s", "failed", "rate"}, {"Events/s", "events", "rate"}, {"Sent/s", "bytes", "bytes"},
		}},
		{List: "upstream.endpoints", Title: "etcd", Columns: []column{
			{"Endpoint", "endpoint", "key"}, {"Health", "health", "mood"}, {"Role", "role", "text"}, {"Member", "name", "name"},
			{"Version", "version", "text"}, {"Response time", "took_ms", "ms"}, {"Checked", "checked", "since"}, {"Not up since", "failing_since", "time"}, {"Error", "error", "error"},
		}},
		{List: "shadows", Title: "Shadow of the v2 API in a v3 store", Optional: true, Columns: []column{
			{"Prefix", "prefix", "key"}, {"Following", "", "following"}, {"Index", "index", "count"}, {"Appends here", "appends", "yes"}, {"Events waiting", "events_waiting", "count"},
			{"Memory", "bytes", "bytes"}, {"Reads compared", "compared_reads", "count"}, {"Writes compared", "compared_writes", "count"}, {"Skipped", "skipped", "count"},
			{"Differences", "differing", "alarm"}, {"Last", "last_difference", "time"},
		}},
		{Name: "shadow differences", List: "shadows.0.first", Title: "First differences from the shadow", Optional: true, Columns: []column{
			{"Found", "time", "time"}, {"Kind", "kind", "text"}, {"Method", "method", "text"}, {"Key", "key", "key"}, {"Difference", "what", "error"},
		}},
		{List: "stores", Title: "v3 store", Optional: true, Columns: []column{
			{"Member in use", "endpoint", "key"}, {"Serving", "", "serving"}, {"Revision", "revision", "count"}, {"Index", "index", "count"}, {"Lag", "behind_seconds", "lag"},
			{"Session", "session", "has"}, {"Nodes", "nodes", "count"}, {"Memory", "bytes", "bytes"}, {"Foreign", "foreign", "alarm"},
			{"Compared", "last_audit", "since"}, {"Differences", "differences", "alarm"}, {"Unknown outcomes", "lost_unknown", "alarm"},
		}},
		{List: "changeovers", Title: "Changeover from the v2 API to the v3 store", Optional: true, Columns: []column{
			{"Writes go to", "phase", "mood"}, {"Since", "since", "time"}, {"Reads from the store", "tree", "yes"}, {"Writes held", "held", "count"}, {"Held in total", "held_total", "count"},
			{"Refused", "refused", "alarm"}, {"Unknown outcomes", "unknown", "alarm"}, {"Reason", "reason", "error"},
		}},
		{Name: "keeper", List: "stores", Title: "Expiry and compaction of the v3 store", Optional: true, Columns: []column{
			{"Keeper", "keeper_name", "error"}, {"Since", "keeper_since", "time"}, {"This proxy", "keeper", "yes"}, {"Expired here", "expired", "count"}, {"Late by", "late_seconds", "age"},
			{"Clocks apart", "clocks_apart", "alarm"}, {"Compacted here", "compacted_at", "since"}, {"Up to revision", "compacted_revision", "count"}, {"Failing since", "not_compacted_since", "time"},
		}},
		{Name: "space", List: "stores", Title: "Space of the v3 store", Optional: true, Columns: []column{
			{"Member in use", "endpoint", "key"}, {"File", "file_bytes", "bytes"}, {"In use", "used_bytes", "bytes"}, {"Quota", "quota_bytes", "bytes"}, {"Full", "quota_percent", "share"}, {"Alarm", "alarm", "mood"},
		}},
		{List: "writers", Title: "Wrote most to the v3 store", Optional: true, Columns: []column{
			{"Client", "account", "error"}, {"Network", "network", "name"}, {"Written", "bytes", "bytes"},
		}},
		{List: "rules", Title: "Rules", Columns: append([]column{{"Prefix", "prefix", "key"}, {"May read", "read", "who"}, {"May write", "write", "who"}}, decisions...)},
		{List: "refusals", Title: "Last refusals", Empty: "No request was refused yet.", Columns: []column{
			{"Last", "time", "time"}, {"Times", "times", "count"}, {"Method", "method", "text"}, {"Client", "client", "name"}, {"User", "", "user"},
			{"Key or path", "", "what"}, {"Rule", "rule", "key"}, {"Response", "", "why"},
		}},
		{List: "users", Title: "Users", Empty: "No user has sent a request yet.", Columns: append([]column{{"User", "", "user"}, {"Identified by", "known", "name"}}, decisions...)},
		{List: "watches.largest_hubs", Title: "Shared watches", Empty: "No watch at etcd is shared.", Columns: []column{
			{"Key", "key", "key"}, {"Recursive", "recursive", "yes"}, {"Watchers", "watchers", "count"}, {"Index", "index", "count"}, {"Buffered", "remembered", "count"},
		}},
		{List: "limits", Title: "Limits", Columns: []column{
			{"Limit", "limit", "text"}, {"In use", "", "used"}, {"Of", "", "value"}, {"Use", "percent", "share"}, {"10 min max", "highest_percent", "share"},
		}},
		{List: "pools", Title: "Shared by all clients", Columns: []column{
			{"Resource", "pool", "text"}, {"In use", "", "used"}, {"Total", "", "total"}, {"Use", "", "fill"}, {"Waiting", "waiting", "count"}, {"Taken back", "revoked", "count"},
			{"Refused", "evicted", "count"}, {"Largest holders", "", "holders"},
		}},
		{List: "memory.largest", Title: "Memory of clients", Empty: "No client holds memory.", Columns: []column{
			{"Client", "account", "error"}, {"Network", "network", "name"}, {"Memory", "used", "bytes"}, {"Authenticated", "known", "yes"},
		}},
		{List: "certificates", Title: "Certificates", Columns: []column{
			{"For", "role", "text"}, {"Subject", "subject", "error"}, {"Expires", "not_after", "time"}, {"Left", "expires_in_seconds", "expiry"},
		}},
		{List: "logs", Title: "Logs of requests", Columns: []column{
			{"Log", "log", "text"}, {"Written", "on", "yes"}, {"Failing", "failing", "yes"}, {"Records lost", "lost", "alarm"}, {"Last failure since", "failing_since", "time"}, {"Error", "error", "error"},
		}},
	} {
		if t.Name == "" {
			t.Name = t.List
		}
		if t.Name == name {
			return t
		}
	}
	panic("BUG: there is no table " + name)
}

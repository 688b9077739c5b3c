package statuspage

import (
	"strings"
	"time"

	"etcd-tlsproxy/acl"
)

// The formats of columns that are made of several values of a row.

// user returns the name of the user in a row.
func user(value any) string {
	row, _ := value.(map[string]any)
	name, _ := row["user"].(string)
	claimed, _ := row["claimed"].(string)
	switch {
	case row["others"] == true:
		return "other certificates"
	case claimed != "":
		return claimed + " (claimed)"
	case name == "":
		return "anonymous"
	}
	return name
}

// what returns the key of a row, or its path.
func what(value any) string {
	row, _ := value.(map[string]any)
	for _, field := range []string{"key", "path"} {
		if text, _ := row[field].(string); text != "" {
			return text
		}
	}
	return "(unreadable)"
}

// amount returns a field of a row in the unit of the row.
func amount(value any, field string) string {
	row, _ := value.(map[string]any)
	return inUnit(row, row[field])
}

// inUnit returns a number in the unit of a row.
func inUnit(row map[string]any, n any) string {
	if row["unit"] == "bytes" {
		return number(n, size)
	}
	return number(n, count)
}

// fill returns which part of the resource in a row is in use, as a percentage.
func fill(value any) (text, mood string) {
	row, _ := value.(map[string]any)
	used, _ := row["used"].(float64)
	total, _ := row["total"].(float64)
	if total == 0 {
		return missing, ""
	}
	return format(100*used/total, "share", time.Time{})
}

// maxHolders bounds the clients that a row names. The JSON has more.
const maxHolders = 3

// holders returns the clients that hold most of the resource in a row, and how much.
func holders(value any) string {
	row, _ := value.(map[string]any)
	largest, _ := row["largest"].([]any)
	if len(largest) == 0 {
		return missing
	}
	var texts []string
	for _, one := range largest[:min(len(largest), maxHolders)] {
		holder, _ := one.(map[string]any)
		account, _ := holder["account"].(string)
		texts = append(texts, account+": "+inUnit(row, holder["used"]))
	}
	return strings.Join(texts, "; ")
}

// serving returns whether a store is served and, if not, why.
func serving(value any) (text, mood string) {
	row, _ := value.(map[string]any)
	if row["serving"] == true {
		return "yes", "good"
	}
	reason, _ := row["reason"].(string)
	return "no: " + reason, "bad"
}

// following returns whether a shadow follows and, if not, why.
func following(value any) (text, mood string) {
	row, _ := value.(map[string]any)
	reason, _ := row["reason"].(string)
	switch {
	case row["following"] == true:
		return "yes", "good"
	case row["lost"] == true:
		return "lost: " + reason, "bad"
	}
	return "no: " + reason, "warn"
}

// why returns the status and the reason of a refusal. The refusal of an identity has a
// reason of its own.
func why(value any) string {
	row, _ := value.(map[string]any)
	reason, _ := row["reason"].(string)
	text := number(row["status"], func(n float64) string { return round(n, 0) }) + " " + reason
	login, _ := row["login"].(string)
	switch {
	case reason != "unauthorized" || login == "":
		return text
	case login == "ok":
		return text + ": no right"
	}
	return text + ": " + strings.ReplaceAll(login, "_", " ")
}

// shownNames quotes the names of users that could be read as something else, like
// acl.ShownName.
func shownNames(names []any) []any {
	shown := make([]any, 0, len(names))
	for _, name := range names {
		text, _ := name.(string)
		shown = append(shown, acl.ShownName(text))
	}
	return shown
}

package statuspage

import "strings"

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

// holder returns the client that holds most of the resource in a row, and how much.
func holder(value any) string {
	row, _ := value.(map[string]any)
	first, found := valueAt(value, "largest.0").(map[string]any)
	if !found {
		return missing
	}
	account, _ := first["account"].(string)
	return account + ": " + inUnit(row, first["used"])
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

package statuspage

import (
	"encoding/json"
	"strconv"
	"strings"
	"time"
)

// view is the JSON in the form that the template uses.
type view struct {
	root any
	now  time.Time
	// page has the style and the script.
	page *Page
}

func newView(page *Page, status []byte, now time.Time) (*view, error) {
	v := &view{now: now, page: page}
	return v, json.Unmarshal(status, &v.root)
}

// cell is one place on the page: the path of its value in the JSON, its format, and its
// present text and mood.
type cell struct{ At, As, Label, Text, Mood string }

// At returns the cell of a value by its path, such as windows.0.reads.
func (v *view) At(path, as string) cell { return v.cell(v.root, path, as) }

func (v *view) cell(item any, path, as string) cell {
	text, mood := format(valueAt(item, path), as, v.now)
	return cell{At: path, As: as, Text: text, Mood: mood}
}

// valueAt returns the value at a path. The empty path is the value itself.
func valueAt(value any, path string) any {
	if path == "" {
		return value
	}
	for step := range strings.SplitSeq(path, ".") {
		switch inner := value.(type) {
		case map[string]any:
			value = inner[step]
		case []any:
			i, err := strconv.Atoi(step)
			if err != nil || i >= len(inner) {
				return nil
			}
			value = inner[i]
		default:
			return nil
		}
	}
	return value
}

// rows is a table with its rows.
type rows struct {
	table
	Rows [][]cell
}

// Table returns the table with a name.
func (v *view) Table(name string) rows {
	t := tableOf(name)
	items, _ := valueAt(v.root, t.List).([]any)
	r := rows{table: t}
	for _, item := range items {
		row := make([]cell, 0, len(t.Columns))
		for _, c := range t.Columns {
			filled := v.cell(item, c.At, c.As)
			filled.Label = c.Title
			row = append(row, filled)
		}
		r.Rows = append(r.Rows, row)
	}
	return r
}

// Problems returns the problems, which are shown as a list.
func (v *view) Problems() []any {
	list, _ := valueAt(v.root, "problems").([]any)
	return list
}

package config

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"path/filepath"
	"reflect"
	"slices"
	"strings"

	"github.com/BurntSushi/toml"
)

// Show writes all settings with their values and where each comes from: a line of the
// file, or the default. What it writes is a configuration with the same meaning. pending are
// the settings that wait for a restart; other values that are not those of the file are in
// force because the file has a mistake.
func (doc *Document) Show(w io.Writer, c *Config, pending []Pending) error {
	var b strings.Builder
	table := ""
	for _, s := range doc.shown(c) {
		path := s.path()
		if top := path[0]; len(path) > 1 && top != table {
			table = top
			fmt.Fprintf(&b, "\n[%s]\n", table)
		}
		fmt.Fprintf(&b, "%s = %s # %s\n", path[len(path)-1], tomlText(s.value(c).Interface()), doc.origin(&s, c, pending))
	}
	doc.showEntries(&b, "acls", aclTexts(c.ACLs), aclTexts(doc.decoded.ACLs))
	doc.showEntries(&b, "surfaces", surfaceTexts(c.Surfaces), surfaceTexts(doc.decoded.Surfaces))
	_, err := io.WriteString(w, b.String())
	return err
}

// shown returns the settings with one value, those outside of a table first.
func (doc *Document) shown(c *Config) []Setting {
	all := slices.DeleteFunc(Settings(), func(s Setting) bool {
		switch s.Key {
		case "upstream.endpoints": // only one of these can be given
			return c.Upstream.SRV != ""
		case "upstream.srv", "upstream.srv_refresh":
			return c.Upstream.SRV == ""
		}
		return s.Type == "table"
	})
	slices.SortStableFunc(all, func(a, b Setting) int {
		return cmp.Compare(min(len(a.path()), 2), min(len(b.path()), 2))
	})
	return all
}

// showEntries writes a table with keys that an operator chose.
func (doc *Document) showEntries(b *strings.Builder, table string, texts, decoded map[string]string) {
	fmt.Fprintf(b, "\n[%s]\n", table)
	for _, name := range slices.Sorted(maps.Keys(texts)) {
		origin := earlier
		if texts[name] == decoded[name] {
			origin = doc.place(table, name)
		}
		fmt.Fprintf(b, "%s = %s # %s\n", toml.Key{name}, texts[name], origin)
	}
}

// The origins of values that are in force although the file has other ones. They call for
// different actions.
const (
	earlier = "as before, because of a mistake in the file"
	waiting = "as before, until a restart applies "
)

// origin says where the value of a setting comes from.
func (doc *Document) origin(s *Setting, c *Config, pending []Pending) string {
	now, file := tomlText(s.value(c).Interface()), s.value(&doc.decoded)
	path := ""
	if file.Kind() == reflect.String {
		path = tomlText(filepath.Join(filepath.Dir(doc.file), file.String())) // of a log
	}
	waits := slices.ContainsFunc(pending, func(p Pending) bool { return p.Key == s.Key })
	switch {
	case waits && !doc.meta.IsDefined(s.path()...):
		return waiting + "the default"
	case waits:
		return waiting + doc.place(s.path()...)
	case now != tomlText(file.Interface()) && now != path:
		return earlier
	}
	return doc.place(s.path()...)
}

// place returns the line of a key, or "default" if the file does not have it.
func (doc *Document) place(key ...string) string {
	if !doc.meta.IsDefined(key...) {
		return "default"
	}
	_, line := doc.locate(key...)
	return fmt.Sprintf("%s:%d", doc.file, line)
}

// tomlText returns a value in the form of the file.
func tomlText(value any) string {
	if files, ok := value.(Files); ok {
		value = []string(files)
		switch len(files) {
		case 0:
			value = ""
		case 1:
			value = files[0]
		}
	}
	if list, ok := value.([]string); ok && len(list) == 0 {
		return "[]" // the library leaves it out
	}
	text, err := toml.Marshal(map[string]any{"x": value})
	if err != nil {
		panic("BUG: a setting cannot be written: " + err.Error())
	}
	return strings.TrimSuffix(strings.TrimPrefix(string(text), "x = "), "\n")
}

func aclTexts(acls map[string]ACL) map[string]string {
	texts := make(map[string]string)
	for prefix, rule := range acls {
		texts[prefix] = tomlText(rule.Write)
		if rule.ReadGiven {
			texts[prefix] = "{ read = " + tomlText(rule.Read) + ", write = " + tomlText(rule.Write) + " }"
		}
	}
	return texts
}

func surfaceTexts(surfaces map[string][]string) map[string]string {
	texts := make(map[string]string)
	for name, users := range surfaces {
		texts[name] = tomlText(users)
	}
	return texts
}

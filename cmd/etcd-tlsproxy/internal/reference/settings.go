package reference

import (
	"fmt"
	"strconv"
	"strings"

	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/config"
)

// table is one table of the configuration file with its settings.
type table struct {
	name, doc string // the name is empty for keys outside of all tables
	settings  []setting
}

// setting is a setting with its comment.
type setting struct {
	config.Setting
	text string
}

// settingsOf returns all tables in the order of config.Config.
func settingsOf(s *source) ([]table, error) {
	root, err := s.lookup("Config")
	if err != nil {
		return nil, err
	}
	tables := []table{{doc: comment(field{name: "Config", doc: root.doc}, "etcd-tlsproxy.toml")}}
	docs := make(map[string]string)
	for _, f := range root.fields {
		key := f.tag.Get("toml")
		section := s.structs[f.typ]
		if section == nil || strings.HasPrefix(f.typ, "[]") {
			docs[key] = comment(f, key)
			continue
		}
		tables = append(tables, table{name: key, doc: section.doc})
		for _, inner := range section.fields {
			key := inner.tag.Get("toml")
			docs[f.tag.Get("toml")+"."+key] = comment(inner, key)
		}
	}
	for _, known := range config.Settings() {
		text := docs[known.Key]
		if text == "" {
			return nil, fmt.Errorf("the setting %s has no comment", known.Key)
		}
		name, _, inside := strings.Cut(known.Key, ".")
		for i := range tables {
			if inside && tables[i].name == name || !inside && tables[i].name == "" {
				tables[i].settings = append(tables[i].settings, setting{known, text})
			}
		}
	}
	return tables, nil
}

// comment returns the comment of a field with the key in the place of the field's name.
func comment(f field, key string) string {
	if rest, ok := strings.CutPrefix(f.doc, f.name+" "); ok {
		return "`" + key + "` " + rest
	}
	return f.doc
}

// facts returns type, default, bounds and what a change needs, in words.
func (s *setting) facts() string {
	facts := []string{s.Type}
	switch {
	case s.Default == "auto":
		facts = append(facts, "the default is computed")
	case s.Default == "":
		facts = append(facts, "no default")
	case s.Type == "string" || s.Type == "duration":
		facts = append(facts, "default `"+strconv.Quote(s.Default)+"`")
	case s.Type == "list of strings":
		facts = append(facts, "default `["+strconv.Quote(s.Default)+"]`")
	default:
		facts = append(facts, "default `"+s.Default+"`")
	}
	if len(s.Choices) > 0 {
		quoted := make([]string, len(s.Choices))
		for i, choice := range s.Choices {
			quoted[i] = "`" + strconv.Quote(choice) + "`"
		}
		facts = append(facts, "one of "+strings.Join(quoted, ", "))
	}
	if above, ok := strings.CutPrefix(s.Min, ">"); ok {
		facts = append(facts, "above "+bound(above))
	} else if s.Min != "" {
		facts = append(facts, "at least "+bound(s.Min))
	}
	switch s.Max {
	case "":
	case "auto":
		facts = append(facts, "the maximum is computed")
	default:
		facts = append(facts, "at most "+bound(s.Max))
	}
	if s.Restart {
		facts = append(facts, "a change needs a restart")
	} else {
		facts = append(facts, "a reload applies a change")
	}
	return strings.Join(facts, "; ") + "."
}

// bound returns a bound with its digits in groups of three. Other bounds are as they are.
func bound(text string) string {
	if _, err := strconv.ParseInt(text, 10, 64); err != nil {
		return "`" + text + "`"
	}
	for i := len(text) - 3; i > 0; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}

package reference

import (
	"fmt"
	"strings"
)

// object is one kind of object in the status JSON.
type object struct {
	name, doc string
	fields    []member
}

// member is one field of an object.
type member struct{ name, typ, text string }

// jsonTypes are the names that JSON has for Go's types. Other types are objects.
var jsonTypes = map[string]string{
	"string": "string", "bool": "boolean", "int": "number", "int64": "number", "uint64": "number", "float64": "number",
	"Float": "number or null", "time.Time": "time",
}

// statusObjects returns the objects of the status JSON: the outermost first, each followed
// by those that it contains.
func statusObjects(page, server *source) ([]object, error) {
	outer, err := page.lookup("Status")
	if err != nil {
		return nil, err
	}
	inner, err := server.lookup("Status")
	if err != nil {
		return nil, err
	}
	all := &source{structs: make(map[string]*structType)}
	for name, t := range server.structs {
		all.structs[name] = t
	}
	for name, t := range page.structs {
		all.structs[name] = t
	}
	all.structs["Status"] = &structType{doc: inner.doc, fields: append(withoutEmbedded(outer.fields), inner.fields...)}

	var objects []object
	seen := map[string]bool{}
	var add func(name string) error
	add = func(name string) error {
		if seen[name] {
			return nil
		}
		seen[name] = true
		t, err := all.lookup(name)
		if err != nil {
			return err
		}
		fields := flatten(all, t)
		names := make(map[string]string, len(fields))
		for _, f := range fields {
			names[f.name] = f.tag.Get("json")
		}
		o := object{name: name, doc: rename(t.doc, names)}
		var below []string
		for _, f := range fields {
			element, list := strings.CutPrefix(f.typ, "[]")
			typ, simple := jsonTypes[element]
			if !simple {
				typ = "[" + element + "](#object-" + strings.ToLower(element) + ")"
				below = append(below, element)
			}
			if list {
				typ = "list of " + typ
			}
			o.fields = append(o.fields, member{f.tag.Get("json"), typ, rename(f.doc, names)})
		}
		o.addReferences()
		objects = append(objects, o)
		for _, name := range below {
			if err := add(name); err != nil {
				return fmt.Errorf("in %s: %w", o.name, err)
			}
		}
		return nil
	}
	return objects, add("Status")
}

// flatten returns the fields of a struct with those of embedded structs in their place.
func flatten(s *source, t *structType) []field {
	var fields []field
	for _, f := range t.fields {
		if embedded := s.structs[f.typ]; f.name == "" && embedded != nil {
			fields = append(fields, flatten(s, embedded)...)
		} else if f.tag.Get("json") != "" {
			fields = append(fields, f)
		}
	}
	return fields
}

func withoutEmbedded(fields []field) []field {
	var named []field
	for _, f := range fields {
		if f.name != "" {
			named = append(named, f)
		}
	}
	return named
}

// addReferences makes each field without a text refer to the one whose text names it.
func (o *object) addReferences() {
	for i := range o.fields {
		if o.fields[i].text != "" {
			continue
		}
		for _, other := range o.fields {
			if strings.Contains(other.text, "`"+o.fields[i].name+"`") {
				o.fields[i].text = "see `" + other.name + "`"
				break
			}
		}
	}
}

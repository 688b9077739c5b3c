package config

import (
	"fmt"
	"maps"
	"math"
	"reflect"
	"slices"
	"strings"

	"github.com/BurntSushi/toml"
	"github.com/dustin/go-humanize"
)

// decode decodes each value on its own. The library ends at the first value of a wrong
// type, and an operator should see all of them.
func (doc *Document) decode(errs *Errors, config *Config, values map[string]toml.Primitive) {
	settings := make(map[string]*Setting)
	tables := make(map[string]bool)
	for _, s := range Settings() {
		settings[s.Key] = &s
		if table, _, ok := strings.Cut(s.Key, "."); ok {
			tables[table] = true
		}
	}
	eachChild(values, func(name string, value toml.Primitive) {
		switch {
		case !tables[name]:
			doc.decodeSetting(errs, config, settings[name], value, name)
		case doc.isTable(errs, value, name):
			eachChild(doc.children(value), func(key string, value toml.Primitive) {
				doc.decodeSetting(errs, config, settings[name+"."+key], value, name, key)
			})
		}
	})
}

// eachChild calls do for the keys of a table in the order of their names.
func eachChild(values map[string]toml.Primitive, do func(name string, value toml.Primitive)) {
	for _, name := range slices.Sorted(maps.Keys(values)) {
		do(name, values[name])
	}
}

// children returns the values of a table, or nil for another value.
func (doc *Document) children(value toml.Primitive) map[string]toml.Primitive {
	var values map[string]toml.Primitive
	if doc.meta.PrimitiveDecode(value, &values) != nil {
		return nil
	}
	return values
}

// decodeSetting decodes the value of a key. s is nil for an unknown key.
func (doc *Document) decodeSetting(errs *Errors, config *Config, s *Setting, value toml.Primitive, key ...string) {
	if s == nil {
		doc.addUnknown(errs, value, key...)
		return
	}
	field := s.value(config)
	good := false
	switch s.Type {
	case "table":
		doc.decodeTable(errs, field, value, key...)
	case "string or list of strings":
		good = true // Files decodes itself
	case "list of strings":
		good = doc.isListOfStrings(errs, value, key...)
	case "duration":
		good = doc.hasType(errs, "string", key...)
	case "size":
		if doc.meta.Type(key...) == "String" {
			doc.decodeSize(errs, field, value, key...)
			return
		}
		good = doc.hasType(errs, "integer", key...)
	default:
		good = doc.hasType(errs, s.Type, key...)
	}
	if !good {
		return
	}
	if err := doc.meta.PrimitiveDecode(value, field.Addr().Interface()); err != nil {
		addProblem(errs, err, key...)
	}
}

// decodeTable decodes a table with keys that an operator chooses: acls or surfaces.
func (doc *Document) decodeTable(errs *Errors, field reflect.Value, value toml.Primitive, key ...string) {
	if !doc.isTable(errs, value, key...) {
		return
	}
	entries := reflect.MakeMap(field.Type())
	eachChild(doc.children(value), func(name string, value toml.Primitive) {
		at := append(slices.Clone(key), name)
		entry := reflect.New(field.Type().Elem())
		if _, list := entry.Interface().(*[]string); list && !doc.isListOfStrings(errs, value, at...) {
			return
		}
		if err := doc.meta.PrimitiveDecode(value, entry.Interface()); err != nil {
			addProblem(errs, err, at...)
			return
		}
		entries.SetMapIndex(reflect.ValueOf(name), entry.Elem())
	})
	field.Set(entries)
}

// addUnknown records a key that does not exist, and those below it.
func (doc *Document) addUnknown(errs *Errors, value toml.Primitive, key ...string) {
	hint := ""
	if near := nearest(toml.Key(key).String()); near != "" {
		hint = "did you mean " + near + "?"
	}
	errs.Add("there is no such key", hint, key...)
	eachChild(doc.children(value), func(name string, value toml.Primitive) {
		doc.addUnknown(errs, value, append(slices.Clone(key), name)...)
	})
}

// typeName returns the name of a type of TOML in messages. The library has its own.
func typeName(name string) string {
	names := map[string]string{"Hash": "table", "ArrayHash": "array of tables", "Bool": "boolean"}
	if known, ok := names[name]; ok {
		return known
	}
	return strings.ToLower(name)
}

// hasType records a value of another type.
func (doc *Document) hasType(errs *Errors, want string, key ...string) bool {
	got := typeName(doc.meta.Type(key...))
	if got != want {
		errs.Add("the value is of type "+got, "it must be of type "+want, key...)
	}
	return got == want
}

// isListOfStrings records a value that is something else.
func (doc *Document) isListOfStrings(errs *Errors, value toml.Primitive, key ...string) bool {
	if !doc.hasType(errs, "array", key...) {
		return false
	}
	var elements []any
	if err := doc.meta.PrimitiveDecode(value, &elements); err != nil {
		panic("BUG: the value is an array: " + err.Error())
	}
	for _, element := range elements {
		if _, ok := element.(string); !ok {
			errs.Add("an element of the list is not a string", `write a list of strings, as in ["a", "b"]`, key...)
			return false
		}
	}
	return true
}

// decodeSize decodes the text of a size.
func (doc *Document) decodeSize(errs *Errors, field reflect.Value, value toml.Primitive, key ...string) {
	var text string
	err := doc.meta.PrimitiveDecode(value, &text)
	var size uint64
	if err == nil {
		size, err = humanize.ParseBytes(text)
	}
	if err != nil || size > math.MaxInt64 {
		errs.Add(fmt.Sprintf("%q is not a valid size", text), `write a number of bytes, or a number with a unit, as in "16MiB"`, key...)
		return
	}
	field.SetInt(int64(size))
}

// isTable records a value of another type.
func (doc *Document) isTable(errs *Errors, value toml.Primitive, key ...string) bool {
	return doc.children(value) != nil || doc.hasType(errs, "table", key...)
}

// addProblem records the error of a value that decodes itself.
func addProblem(errs *Errors, err error, key ...string) {
	text := err.Error()
	if parse, ok := err.(toml.ParseError); ok { //nolint:errorlint // the library returns it unwrapped
		text = parse.Message
	}
	errs.Add(text, "", key...)
}

package main

import (
	"errors"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/BurntSushi/toml"
)

// document is a configuration file with the line of each of its keys.
type document struct {
	file  string
	meta  toml.MetaData
	lines map[string]int
}

// parseDocument decodes a file over the defaults. Unknown keys are errors, with
// the nearest known one.
func parseDocument(file string, data []byte) (*document, *Config, error) {
	doc := &document{file: file, lines: make(map[string]int)}
	var values map[string]toml.Primitive
	meta, err := toml.Decode(string(data), &values)
	if err != nil {
		return nil, nil, doc.libraryError(err)
	}
	doc.meta = meta
	doc.findLines(nil, values)
	config := DefaultConfig()
	decoded, err := toml.Decode(string(data), &config)
	if err != nil {
		return nil, nil, doc.libraryError(err)
	}
	unknown := &problems{doc: doc}
	for _, key := range decoded.Undecoded() {
		if key[0] == "acls" && len(key) > 2 {
			continue // the long form of a rule reads its own keys
		}
		hint := ""
		if near := nearest(key.String()); near != "" {
			hint = "did you mean " + near + "?"
		}
		unknown.add("there is no such key", hint, key...)
	}
	if err := unknown.err(); err != nil {
		return nil, nil, err
	}
	return doc, &config, nil
}

// where is decoded into to learn where a value stands: the library tells the
// line of what it could not decode.
type where struct{}

func (where) UnmarshalTOML(any) error { return errors.New("only its line was wanted") }

// findLines fills doc.lines.
func (doc *document) findLines(above toml.Key, values map[string]toml.Primitive) {
	for name, value := range values {
		key := append(slices.Clone(above), name)
		var at toml.ParseError
		if errors.As(doc.meta.PrimitiveDecode(value, &where{}), &at) {
			doc.lines[key.String()] = at.Position.Line
		}
		var below map[string]toml.Primitive
		if doc.meta.PrimitiveDecode(value, &below) == nil {
			doc.findLines(key, below)
		}
	}
}

// locate is a key as it is written and its line; if it is not there, the line of
// the table it would be in.
func (doc *document) locate(key ...string) (name string, line int) {
	name = toml.Key(key).String()
	for n := len(key); n > 0 && line == 0; n-- {
		line = doc.lines[toml.Key(key[:n]).String()]
	}
	return name, line
}

// libraryError puts the library's errors into our form.
func (doc *document) libraryError(err error) error {
	e := &ConfigError{File: doc.file, Problem: err.Error()}
	var parse toml.ParseError
	if errors.As(err, &parse) {
		e.Line, e.Key, e.Problem = parse.Position.Line, parse.LastKey, parse.Message
	} else if match := typeError.FindStringSubmatch(err.Error()); match != nil {
		// Values of a wrong type are only told of in a text.
		if key, err := strconv.Unquote(match[1]); err == nil {
			e.Key, e.Line = key, doc.lines[key]
		}
		e.Problem, e.Hint = "the value is of type "+typeName(match[2]), "it should be of type "+typeName(match[3])
	}
	return e
}

var typeError = regexp.MustCompile(`^toml: .*\(last key (".*")\): incompatible types: TOML value has type (.*); destination has type (.*)$`)

// typeName is TOML's name of a type.
func typeName(name string) string {
	names := map[string]string{"slice": "array", "map": "table", "int": "integer", "int64": "integer", "float64": "float", "bool": "boolean"}
	if known, ok := names[name]; ok {
		return known
	}
	return name
}

// knownKeys are all keys of the configuration, from the struct that they are
// decoded into.
func knownKeys(above string, t reflect.Type) []string {
	var keys []string
	for i := range t.NumField() {
		field := t.Field(i)
		key := above + field.Tag.Get("toml")
		keys = append(keys, key)
		if field.Type.Kind() == reflect.Struct {
			keys = append(keys, knownKeys(key+".", field.Type)...)
		}
	}
	return keys
}

// nearest is the known key that is most like a misspelled one, or "".
func nearest(key string) string {
	best, distance := "", 4 // beyond three letters it is another word
	for _, known := range knownKeys("", reflect.TypeFor[Config]()) {
		if d := editDistance(key, known); d < distance {
			best, distance = known, d
		}
		// The right key in the wrong table, or at the top.
		if _, last, ok := strings.Cut(known, "."); ok && key[strings.LastIndexByte(key, '.')+1:] == last && distance > 1 {
			best, distance = known, 1
		}
	}
	return best
}

// editDistance is Levenshtein's.
func editDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(row[j]+1, row[j+1]+1, cost)
		}
	}
	return row[len(b)]
}

package config

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/BurntSushi/toml"
)

// Document is a configuration file with the line of each of its keys.
type Document struct {
	file  string
	meta  toml.MetaData
	lines map[string]int
	// decoded is what the file says. A configuration in force can have other values.
	decoded Config
}

// Decode decodes a file over the defaults, and checks nothing that the text alone does
// not show. Unknown keys and values that cannot be decoded are errors; the other keys are
// decoded nevertheless. If the text is not valid TOML, there is no configuration.
func Decode(file string, data []byte) (*Document, *Config, error) {
	doc := &Document{file: file, lines: make(map[string]int)}
	var values map[string]toml.Primitive
	meta, err := toml.Decode(string(data), &values)
	if err != nil {
		return nil, nil, doc.convert(data, err)
	}
	doc.meta = meta
	doc.findLines(nil, values)
	config := Default()
	errs := doc.NewErrors()
	doc.decode(errs, config, values)
	if config.Upstream.SRV != "" {
		if meta.IsDefined("upstream", "endpoints") {
			errs.Add("the key cannot be set together with upstream.endpoints", "remove one of the two: srv finds the endpoints in DNS", "upstream", "srv")
		}
		config.Upstream.Endpoints = nil // the default applies only if neither key is set
	}
	for _, address := range []*string{&config.Listen, &config.Admin} {
		if port, ok := strings.CutPrefix(*address, "*:"); ok { // as nginx writes it
			*address = ":" + port
		}
	}
	doc.decoded = *config
	return doc, config, errs.Err()
}

// lineProbe refuses to be decoded. The library reports the line of a value only
// in the error of decoding it.
type lineProbe struct{}

func (lineProbe) UnmarshalTOML(any) error { return errors.New("BUG: this error serves to find a line") }

// findLines fills doc.lines.
func (doc *Document) findLines(parent toml.Key, values map[string]toml.Primitive) {
	for name, value := range values {
		key := append(slices.Clone(parent), name)
		var at toml.ParseError
		if errors.As(doc.meta.PrimitiveDecode(value, &lineProbe{}), &at) {
			doc.lines[key.String()] = at.Position.Line
		}
		doc.findLines(key, doc.children(value))
	}
}

// locate returns a key in the form in which it is written, and its line. The line
// of a key that is missing is that of its table, or 0.
func (doc *Document) locate(key ...string) (name string, line int) {
	name = toml.Key(key).String()
	for n := len(key); n > 0 && line == 0; n-- {
		line = doc.lines[toml.Key(key[:n]).String()]
	}
	return name, line
}

// Warning returns a text about the value of a key, with its place in the document.
func (doc *Document) Warning(text string, key ...string) string {
	name, line := doc.locate(key...)
	text = name + ": " + text
	if line > 0 {
		text = fmt.Sprintf("line %d: %s", line, text)
	}
	return text
}

// convert turns an error of the library's parser into an [Error].
func (doc *Document) convert(data []byte, err error) error {
	e := &Error{File: doc.file, Problem: err.Error()}
	var parse toml.ParseError
	if errors.As(err, &parse) {
		e.Line, e.Key, e.Problem = lineOf(data, parse.Position), parse.LastKey, "not valid TOML: "+parse.Message
		if namesTable(e.Key) {
			e.Key = "" // it is the table before the mistake, which can be in the name of the next one
		}
	}
	return e
}

// lineOf returns the line of an error. The library names the next line if it is the end of
// a line that was not expected. Of a mistake at the very start it can name no place.
func lineOf(data []byte, at toml.Position) int {
	data = bytes.TrimPrefix(data, []byte("\xef\xbb\xbf")) // which the library does not count
	if end := at.Start + at.Len; at.Len > 0 && end > 0 && end <= len(data) {
		return 1 + bytes.Count(data[:end-1], []byte("\n"))
	}
	return at.Line
}

// namesTable reports whether a key is the name of a table.
func namesTable(key string) bool {
	return slices.ContainsFunc(Settings(), func(s Setting) bool {
		return s.Key == key && s.Type == "table" || strings.HasPrefix(s.Key, key+".")
	})
}

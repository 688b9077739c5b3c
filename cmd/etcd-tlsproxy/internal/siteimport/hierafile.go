package siteimport

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"

	"go.yaml.in/yaml/v3"
)

// parseHiera returns the keys of a file.
func parseHiera(source Source) (map[string]yaml.Node, error) {
	fail := func(err error) error { return fmt.Errorf("reading hiera: %s: %w", source.Name, err) }
	var document yaml.Node
	decoder := yaml.NewDecoder(bytes.NewReader(source.Data))
	if err := decoder.Decode(&document); errors.Is(err, io.EOF) {
		return nil, nil
	} else if err != nil {
		return nil, fail(err)
	}
	if err := decoder.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
		return nil, fail(errors.New("the file contains a second document"))
	}
	if err := checkMerge(source, document.Content[0]); err != nil {
		return nil, err
	}
	var keys map[string]yaml.Node
	if err := document.Decode(&keys); err != nil {
		return nil, fail(err)
	}
	return keys, nil
}

// checkMerge refuses a mapping that contains a merge. Puppet reads YAML with Ruby's library,
// in which a merge replaces the keys before it. In this library, and in the specification, a
// key of the mapping wins wherever it stands. Ruby also merges if << is quoted.
func checkMerge(source Source, node *yaml.Node) error {
	if node.Kind == yaml.AliasNode {
		node = node.Alias
	}
	if node.Kind != yaml.MappingNode {
		return nil
	}
	for i := 0; i < len(node.Content); i += 2 {
		if key := node.Content[i]; key.Value == "<<" {
			return fmt.Errorf("reading hiera: %s:%d: a merge with << is not supported here, because Puppet lets it replace keys that stand before it and other programs do not (hint: write the merged keys themselves)", source.Name, key.Line)
		}
	}
	return nil
}

// mergesClass reports whether lookup_options has an entry for parameters of the class, or
// an expression, which could match them.
func mergesClass(options *yaml.Node) bool {
	var names map[string]yaml.Node
	if options.Decode(&names) != nil {
		return true
	}
	for name := range names {
		if strings.HasPrefix(name, hieraClass) || strings.HasPrefix(name, "^") {
			return true
		}
	}
	return false
}

// lookup matches the interpolation of a variable: a top-scope variable or a fact.
var lookup = regexp.MustCompile(`%\{ *(?:::|facts\.|facts\.networking\.|trusted\.)?([a-z][a-z0-9_]*) *\}`)

// interpolate replaces the lookups in a text by the facts. Hiera interpolates every string,
// so text that looks like a lookup is never taken literally. If keepDomain is set, a domain
// that is not given stays in the text.
func (o *HieraOptions) interpolate(what, text string, keepDomain bool) (string, error) {
	missing, kept := "", 0
	result := lookup.ReplaceAllStringFunc(text, func(form string) string {
		name := lookup.FindStringSubmatch(form)[1]
		value, known := o.Facts[name]
		switch {
		case name == "domain" && o.Domain != "":
			return o.Domain
		case known:
			return value
		case name == "domain" && keepDomain:
			kept++
			return form
		}
		missing = name
		return ""
	})
	switch {
	case missing != "":
		return "", fmt.Errorf("reading hiera: %s needs the value of %s (hint: give it with --fact %s=VALUE)", what, missing, missing)
	case strings.Count(result, "%{") > kept:
		return "", fmt.Errorf("reading hiera: the interpolation in %s, %q, is not supported (hint: only variables such as %%{::site} can be replaced; write the value itself)", what, text)
	}
	return result, nil
}

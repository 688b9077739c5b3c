package siteimport

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// refuse returns an error about a node of the file. No error about hiera repeats a value or
// a text of the YAML library, which contains values: the file could be the wrong one.
func (s Source) refuse(node *yaml.Node, form string, args ...any) error {
	return fmt.Errorf("reading hiera: %s:%d: %s", s.Name, node.Line, fmt.Sprintf(form, args...))
}

// yamlLine matches the line in an error of the YAML library.
var yamlLine = regexp.MustCompile(`line ([0-9]+):`)

// parseHiera returns the keys of a file. It is nil if the file is empty.
func parseHiera(source Source) (map[string]*yaml.Node, error) {
	var document yaml.Node
	decoder := yaml.NewDecoder(bytes.NewReader(source.Data))
	if err := decoder.Decode(&document); errors.Is(err, io.EOF) {
		return nil, nil
	} else if err != nil {
		place := ""
		if match := yamlLine.FindStringSubmatch(err.Error()); match != nil {
			place = " near line " + match[1]
		}
		return nil, fmt.Errorf("reading hiera: %s: the file is not valid YAML%s", source.Name, place)
	}
	if err := decoder.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("reading hiera: %s: the file contains a second document", source.Name)
	}
	root := document.Content[0]
	if root.Tag == "!!null" {
		return nil, nil
	}
	return source.mapping(root, "the file")
}

// resolved returns the node that an alias stands for, or the node itself.
func resolved(node *yaml.Node) *yaml.Node {
	if node.Kind == yaml.AliasNode {
		return node.Alias
	}
	return node
}

// mapping reads a mapping. Puppet reads YAML with Ruby's library, in which the last of equal
// keys counts and a merge replaces the keys before it, also if << is quoted. In the
// specification a key of the mapping wins wherever it stands. So both are refused.
func (s Source) mapping(node *yaml.Node, what string) (map[string]*yaml.Node, error) {
	node = resolved(node)
	if node.Kind != yaml.MappingNode {
		return nil, s.refuse(node, "%s is not a mapping of keys to values (hint: a parameter is a line such as %sacls: {/: [root]})", what, hieraClass)
	}
	values, lines := map[string]*yaml.Node{}, map[string]int{}
	for pair := range slices.Chunk(node.Content, 2) {
		key := resolved(pair[0])
		first, twice := lines[key.Value]
		switch {
		case key.Kind != yaml.ScalarNode:
			return nil, s.refuse(key, "a key is not a text")
		case key.Value == "<<":
			return nil, s.refuse(key, "a merge with << is not supported here, because Puppet lets it replace keys that stand before it and other programs do not (hint: write the merged keys themselves)")
		case twice:
			return nil, s.refuse(key, "this key is already defined at line %d (hint: remove one of them)", first)
		}
		values[key.Value], lines[key.Value] = resolved(pair[1]), key.Line
	}
	return values, nil
}

// Ruby's library and this one read some plain words and numbers differently, because they
// follow different versions of YAML. Those are refused, or read as by Ruby.
var (
	ambiguous  = regexp.MustCompile(`^(?i:y|n|yes|no|on|off)$|^[-+.:=0-9]`)
	rubysTrue  = regexp.MustCompile(`^(?i:yes|true|on)$`)
	rubysFalse = regexp.MustCompile(`^(?i:no|false|off)$`)
)

// plain reports whether a scalar is written without quotes and without a tag.
func plain(node *yaml.Node) bool { return node.Kind == yaml.ScalarNode && node.Style == 0 }

// boolean reads true or false. Puppet takes every other value, such as n or "false", for
// true in some places and refuses it in others.
func (s Source) boolean(node *yaml.Node, what string) (*bool, error) {
	yes := plain(node) && rubysTrue.MatchString(node.Value)
	if no := plain(node) && rubysFalse.MatchString(node.Value); !yes && !no {
		return nil, s.refuse(node, "%s is neither true nor false (hint: write one of these words, without quotes)", what)
	}
	return &yes, nil
}

// port reads the number of a port.
func (s Source) port(node *yaml.Node, what string) (int, error) {
	port, err := strconv.ParseUint(node.Value, 10, 16)
	if !plain(node) || err != nil || node.Value[0] == '0' {
		return 0, s.refuse(node, "%s is not a port (hint: write a number between 1 and 65535, without quotes)", what)
	}
	return int(port), nil
}

// text reads a string.
func (s Source) text(node *yaml.Node, what string) (string, error) {
	node = resolved(node)
	switch {
	case node.Kind != yaml.ScalarNode || node.ShortTag() != "!!str" || plain(node) && ambiguous.MatchString(node.Value):
		return "", s.refuse(node, "%s is not a string (hint: if it is one, write it in quotes)", what)
	case strings.Contains(node.Value, "ENC["):
		return "", s.refuse(node, "%s is encrypted (hint: write the value itself)", what)
	}
	return node.Value, nil
}

// users reads the list of a prefix.
func (s Source) users(node *yaml.Node, prefix string) ([]string, error) {
	if node.Kind != yaml.SequenceNode {
		return nil, s.refuse(node, "acls: %q: the value is not a list (hint: write [\"user\", ...], or [] for everyone)", prefix)
	}
	users := []string{}
	for _, item := range node.Content {
		user, err := s.text(item, fmt.Sprintf("acls: %q: a user name", prefix))
		if err != nil {
			return nil, err
		}
		if !slices.Contains(users, user) {
			users = append(users, user)
		}
	}
	return users, nil
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

package keydump

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"

	"etcd-tlsproxy/acl"
)

// maxProblems bounds the reported problems. A file with more of them is probably not a
// dump.
const maxProblems = 20

// Parse parses a dump and checks all of it. The error lists every problem with the name
// of the file and the line. It never contains values, which may be secret.
func Parse(name string, data []byte) (*Dump, error) {
	p := &parser{name: name, lines: make(map[acl.Key]int)}
	p.parse(data)
	if len(p.problems) > 0 {
		return nil, errors.Join(p.problems...)
	}
	slices.SortFunc(p.dump.Tree, byKey)
	return &p.dump, nil
}

type parser struct {
	name     string
	line     int
	dump     Dump
	lines    map[acl.Key]int // the line of each key
	problems []error
}

func (p *parser) problem(format string, args ...any) {
	if len(p.problems) < maxProblems {
		p.problems = append(p.problems, fmt.Errorf("%s:%d: %w", p.name, p.line, fmt.Errorf(format, args...)))
	}
}

func (p *parser) parse(data []byte) {
	first, rest, _ := bytes.Cut(data, []byte("\n"))
	p.line = 1
	if err := p.header(first); err != nil {
		p.problem("the line is not a valid header of a dump: %w", err)
		return
	}
	for len(rest) > 0 {
		var line []byte
		line, rest, _ = bytes.Cut(rest, []byte("\n"))
		p.line++
		if err := p.entry(line); err != nil {
			p.problem("%w", err)
		}
	}
	if got := p.line - 1; got != p.dump.Entries {
		p.problem("the dump has %d entries instead of %d (hint: the file was truncated or changed; line 1 has the number)", got, p.dump.Entries)
	}
	if len(p.problems) > 0 {
		return
	}
	for _, e := range p.dump.Tree {
		for parent := parentOf(e.Key); parent != acl.Root; parent = parentOf(parent) {
			if line, found := p.lines[parent]; found && !p.dump.Tree[line-2].Dir {
				p.line = p.lines[e.Key]
				p.problem("%v is below %v, which is not a directory according to line %d", e.Key, parent, line)
			}
		}
	}
}

func parentOf(key acl.Key) acl.Key { return acl.Key(path.Dir(string(key))) }

func (p *parser) header(line []byte) error {
	h := &p.dump.Header
	var prefix, cluster text
	err := object(line, map[string]any{"etcdTlsproxyDump": &h.Format, "prefix": &prefix, "clusterId": &cluster, "index": &h.Index,
		"taken": &h.Taken, "entries": &h.Entries}, "etcdTlsproxyDump", "prefix", "clusterId", "index", "entries")
	if err != nil {
		return err
	}
	if h.Format != format {
		return fmt.Errorf("the format is %d, but only %d is supported", h.Format, format)
	}
	if h.Prefix, err = acl.NewKey(prefix.decoded); err != nil {
		return fmt.Errorf("prefix: %w", err)
	}
	if h.ClusterID = cluster.decoded; h.ClusterID == "" || h.Index == 0 {
		return errors.New("clusterId and index must not be empty")
	}
	return nil
}

// entry parses a line. It always appends an entry, so that lines and entries correspond.
func (p *parser) entry(line []byte) error {
	p.dump.Tree = append(p.dump.Tree, Entry{})
	e := &p.dump.Tree[len(p.dump.Tree)-1]
	var key text
	var value *text
	err := object(line, map[string]any{"key": &key, "dir": &e.Dir, "value": &value, "expiration": &e.Expiration,
		"createdIndex": &e.CreatedIndex, "modifiedIndex": &e.ModifiedIndex}, "key")
	if err != nil {
		return err
	}
	parsed, err := acl.NewKey(key.decoded)
	switch {
	case err != nil:
		return fmt.Errorf("key: %w", err)
	case parsed.Reserved():
		return fmt.Errorf("%v cannot be written: etcd would read it as its own record of a member and stop for good (hint: remove the line)", parsed)
	case parsed.Depth() > acl.MaxDepth:
		return fmt.Errorf("%v has %d segments, but at most %d can be written (hint: remove the line and the lines of the keys below it)", parsed, parsed.Depth(), acl.MaxDepth)
	case parsed == acl.Root || !p.dump.Prefix.Covers(parsed):
		return fmt.Errorf("%v is not below the dump's prefix, %v", parsed, p.dump.Prefix)
	case p.lines[parsed] > 0:
		return fmt.Errorf("%v is already in line %d", parsed, p.lines[parsed])
	case e.Dir == (value != nil):
		return fmt.Errorf("%v must either have a value or be a directory", parsed)
	}
	e.Key = parsed
	if value != nil {
		e.Value = &value.decoded
	}
	p.lines[parsed] = p.line
	return nil
}

// object decodes a line that is one JSON object. Unlike encoding/json it refuses anything
// that two parsers could read differently: duplicate names, names in another spelling,
// null, and invalid text that would be replaced.
func object(line []byte, fields map[string]any, required ...string) error {
	d := json.NewDecoder(bytes.NewReader(line))
	if open, err := d.Token(); err != nil || open != json.Delim('{') {
		return errors.New("it is not a JSON object")
	}
	var seen []string
	for d.More() {
		token, err := d.Token()
		if err != nil {
			return errors.New("it is not a JSON object")
		}
		name, _ := token.(string)
		field, known := fields[name]
		if !known {
			return fmt.Errorf("unknown field %q", name)
		}
		if slices.Contains(seen, name) {
			return fmt.Errorf("field %s is given twice", name)
		}
		seen = append(seen, name)
		var raw json.RawMessage
		if err := d.Decode(&raw); err != nil {
			return fmt.Errorf("field %s: it is not valid JSON", name)
		}
		// The library's own errors can contain the value.
		if err := json.Unmarshal(raw, field); errors.Is(err, errSurrogate) {
			return fmt.Errorf("field %s: %w", name, err)
		} else if err != nil || string(raw) == "null" {
			return fmt.Errorf("field %s has the wrong type", name)
		}
	}
	if _, err := d.Token(); err != nil {
		return errors.New("the object is not complete")
	}
	if _, err := d.Token(); err != io.EOF {
		return errors.New("there is text after the object")
	}
	for _, name := range required {
		if !slices.Contains(seen, name) {
			return fmt.Errorf("field %s is missing", name)
		}
	}
	return nil
}

// Move moves the tree of a dump to another prefix, as if it had been dumped from there.
func (d *Dump) Move(from, to acl.Key) error {
	move := func(key acl.Key) (acl.Key, error) {
		if !from.Covers(key) {
			return "", fmt.Errorf("%v is not below %v, the prefix to replace", key, from)
		}
		// Without the slash of the root both prefixes end before a slash.
		rest := strings.TrimPrefix(strings.TrimSuffix(string(key), "/"), strings.TrimSuffix(string(from), "/"))
		return max(acl.Key(strings.TrimSuffix(string(to), "/")+rest), acl.Root), nil
	}
	var err error
	if d.Prefix, err = move(d.Prefix); err != nil {
		return err
	}
	for i := range d.Tree {
		e := &d.Tree[i]
		was := e.Key
		if e.Key, err = move(was); err != nil {
			return err
		}
		if e.Key == acl.Root || e.Key.Reserved() {
			return fmt.Errorf("%v would become %v, which cannot be written", was, e.Key)
		}
		if depth := e.Key.Depth(); depth > acl.MaxDepth {
			return fmt.Errorf("%v would become %v, which has %d segments, but at most %d can be written", was, e.Key, depth, acl.MaxDepth)
		}
	}
	// No key at the new place has these indexes.
	d.ClusterID = ""
	return nil
}

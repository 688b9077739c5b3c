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

// maxProblems is how many problems are told: who has more of them has another file.
const maxProblems = 20

// Parse reads a dump. All of it is checked: the error lists what is wrong, each with
// the file's name and the line. Values are never repeated.
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
	lines    map[acl.Key]int // where each key stands
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
		p.problem("it is no dump's first line: %w", err)
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
		p.problem("the dump ends after %d of its %d entries (hint: it was cut short, or changed; line 1 has the number)", got, p.dump.Entries)
	}
	if len(p.problems) > 0 {
		return
	}
	for _, e := range p.dump.Tree {
		for parent := parentOf(e.Key); parent != acl.Root; parent = parentOf(parent) {
			if line, found := p.lines[parent]; found && !p.dump.Tree[line-2].Dir {
				p.line = p.lines[e.Key]
				p.problem("%v is below %v, which line %d says is no directory", e.Key, parent, line)
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
		return fmt.Errorf("its format is %d, and only %d is known", h.Format, format)
	}
	if h.Prefix, err = acl.NewKey(prefix.decoded); err != nil {
		return fmt.Errorf("prefix: %w", err)
	}
	if h.ClusterID = cluster.decoded; h.ClusterID == "" || h.Index == 0 {
		return errors.New("clusterId and index say where the dump is from")
	}
	return nil
}

// entry always keeps one for the line, so that lines and entries correspond.
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
		return fmt.Errorf("nobody may write %v: etcd would take it for its own record of a member and not survive it (hint: remove the line)", parsed)
	case parsed == acl.Root || !p.dump.Prefix.Covers(parsed):
		return fmt.Errorf("%v is not below the dump's prefix, %v", parsed, p.dump.Prefix)
	case p.lines[parsed] > 0:
		return fmt.Errorf("%v is in line %d already", parsed, p.lines[parsed])
	case e.Dir == (value != nil):
		return fmt.Errorf("%v must have a value or be a directory, and not both", parsed)
	}
	e.Key = parsed
	if value != nil {
		e.Value = &value.decoded
	}
	p.lines[parsed] = p.line
	return nil
}

// object decodes a line that is one JSON object. Unlike the library it refuses what
// two readers could read differently: names twice or in other spellings, null, and
// what it would replace.
func object(line []byte, fields map[string]any, required ...string) error {
	d := json.NewDecoder(bytes.NewReader(line))
	if open, err := d.Token(); err != nil || open != json.Delim('{') {
		return errors.New("it is no JSON object")
	}
	var seen []string
	for d.More() {
		token, err := d.Token()
		if err != nil {
			return errors.New("it is no JSON object")
		}
		name, _ := token.(string)
		field, known := fields[name]
		if !known {
			return fmt.Errorf("there is no field %q", name)
		}
		if slices.Contains(seen, name) {
			return fmt.Errorf("field %s is there twice", name)
		}
		seen = append(seen, name)
		var raw json.RawMessage
		if err := d.Decode(&raw); err != nil {
			return fmt.Errorf("field %s: it is no JSON", name)
		}
		// The library's own errors can repeat what a field holds.
		if err := json.Unmarshal(raw, field); errors.Is(err, errSurrogate) {
			return fmt.Errorf("field %s: %w", name, err)
		} else if err != nil || string(raw) == "null" {
			return fmt.Errorf("field %s is of another type", name)
		}
	}
	if _, err := d.Token(); err != nil {
		return errors.New("the object does not end")
	}
	if _, err := d.Token(); err != io.EOF {
		return errors.New("something follows the object")
	}
	for _, name := range required {
		if !slices.Contains(seen, name) {
			return fmt.Errorf("field %s is missing", name)
		}
	}
	return nil
}

// Move puts the dump's tree under another prefix, as if it had been dumped from there.
func (d *Dump) Move(from, to acl.Key) error {
	move := func(key acl.Key) (acl.Key, error) {
		if !from.Covers(key) {
			return "", fmt.Errorf("%v is not below %v, from which the dump is to be moved", key, from)
		}
		// Without the root's own slash, both are what stands before a segment.
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
			return fmt.Errorf("%v would become %v, which nobody may write", was, e.Key)
		}
	}
	// Where they go, nothing has these indexes.
	d.ClusterID = ""
	return nil
}

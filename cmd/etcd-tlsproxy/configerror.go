package main

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
)

// ConfigError is one thing that is wrong with a configuration: where, what, and
// what to do.
type ConfigError struct {
	File string
	// Line is 0 if what is wrong stands nowhere: a key that is missing.
	Line    int
	Key     string
	Problem string
	Hint    string
}

func (e *ConfigError) Error() string {
	text := e.File
	if e.Line > 0 {
		text += fmt.Sprintf(":%d", e.Line)
	}
	if e.Key != "" {
		text += ": " + e.Key
	}
	text += ": " + e.Problem
	if e.Hint != "" {
		text += " (hint: " + e.Hint + ")"
	}
	return text
}

// problem is what is wrong with a value, before it is known where it stands.
type problem struct{ what, hint string }

func (p problem) Error() string { return p.what + " (hint: " + p.hint + ")" }

// problems gathers errors, so that an operator sees all of them at once.
type problems struct {
	doc  *document
	list []*ConfigError
}

// add notes what is wrong with the value of a key.
func (ps *problems) add(what, hint string, key ...string) {
	name, line := ps.doc.locate(key...)
	ps.list = append(ps.list, &ConfigError{File: ps.doc.file, Line: line, Key: name, Problem: what, Hint: hint})
}

// err is all of them in the order of lines, or nil.
func (ps *problems) err() error {
	slices.SortStableFunc(ps.list, func(a, b *ConfigError) int { return cmp.Compare(a.Line, b.Line) })
	errs := make([]error, len(ps.list))
	for i, e := range ps.list {
		errs[i] = e
	}
	return errors.Join(errs...)
}

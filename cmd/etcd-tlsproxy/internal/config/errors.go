package config

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
)

// Error is one fault of a configuration: where it is, what it is, and what to do.
type Error struct {
	File string
	// Line is 0 if the fault has no line, as for a key that is missing.
	Line    int
	Key     string
	Problem string
	Hint    string
}

func (e *Error) Error() string {
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

// problem is the fault of a value whose place in the file is not known yet.
type problem struct{ what, hint string }

func (p problem) Error() string { return p.what + " (hint: " + p.hint + ")" }

// Errors collects the faults of a document, so that an operator sees all of them
// at once.
type Errors struct {
	doc  *Document
	list []*Error
}

// NewErrors returns an empty collection.
func (doc *Document) NewErrors() *Errors { return &Errors{doc: doc} }

// Add records a problem with the value of a key.
func (errs *Errors) Add(problem, hint string, key ...string) {
	name, line := errs.doc.locate(key...)
	errs.list = append(errs.list, &Error{File: errs.doc.file, Line: line, Key: name, Problem: problem, Hint: hint})
}

// AddJoined records each of the errors that err joins, which name their own files.
func (errs *Errors) AddJoined(err error, key ...string) {
	var joined interface{ Unwrap() []error }
	if !errors.As(err, &joined) {
		errs.Add(err.Error(), "", key...)
		return
	}
	for _, one := range joined.Unwrap() {
		errs.Add(one.Error(), "", key...)
	}
}

// Err returns all recorded errors in the order of lines, joined, or nil.
func (errs *Errors) Err() error {
	slices.SortStableFunc(errs.list, func(a, b *Error) int { return cmp.Compare(a.Line, b.Line) })
	list := make([]error, len(errs.list))
	for i, e := range errs.list {
		list[i] = e
	}
	return errors.Join(list...)
}

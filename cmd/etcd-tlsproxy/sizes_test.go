package main

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const (
	maxLines = 250
	maxFiles = 20
)

// packageFiles has the packages whose number of files has a limit of its own. Tests do not
// count.
var packageFiles = map[string]int{
	"proxy":             12, // the front alone: what it does belongs to the packages below it
	"cmd/etcd-tlsproxy": 24, // a file for each verb
}

// longFiles has the files that may have more than maxLines lines, each with its reason.
// Tests may be longer: a table of cases is read from top to bottom.
var longFiles = map[string]string{}

// TestPackagesAndFilesAreOfReadableSize keeps packages and files at a size that can be
// read at once. A package or file above it has more than one subject.
func TestPackagesAndFilesAreOfReadableSize(t *testing.T) {
	root := filepath.Join("..", "..")
	files := make(map[string]int)
	long := make(map[string]bool)
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := entry.Name()
		if entry.IsDir() && (name == ".git" || name == "dist" || name == "testdata") {
			return filepath.SkipDir
		}
		if entry.IsDir() || !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") {
			return nil
		}
		file, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		files[filepath.Dir(file)]++
		text, err := os.ReadFile(path)
		if lines := bytes.Count(text, []byte("\n")); lines > maxLines {
			long[file] = true
			if longFiles[file] == "" {
				t.Errorf("%s: got %d lines, want at most %d, or a reason in longFiles", file, lines, maxLines)
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for folder, n := range files {
		limit, found := packageFiles[folder]
		if !found {
			limit = maxFiles
		}
		if n > limit {
			t.Errorf("%s: got %d files besides tests, want at most %d: move a subject into a package of its own", folder, n, limit)
		}
	}
	for folder := range packageFiles {
		if files[folder] == 0 {
			t.Errorf("packageFiles has %s, which has no files", folder)
		}
	}
	for file := range longFiles {
		if !long[file] {
			t.Errorf("longFiles has %s, which has no more than %d lines", file, maxLines)
		}
	}
}

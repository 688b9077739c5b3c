package main

import (
	"os"
	"path/filepath"
	"testing"
)

// TestEachMistakeHasItsPlace finds mistakes that the code has left behind, without running them.
func TestEachMistakeHasItsPlace(t *testing.T) {
	for _, b := range bugs {
		source, err := os.ReadFile(filepath.Join("..", "..", b.file))
		if err == nil {
			_, err = b.change(string(source))
		}
		if err != nil {
			t.Errorf("%s: %v", b.name, err)
		}
	}
}

package reference

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var (
	link    = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	heading = regexp.MustCompile(`(?m)^#+ +(.*)$`)
	fenced  = regexp.MustCompile("(?ms)^```.*?^```$")
	dropped = regexp.MustCompile(`[^\p{L}\p{N} _-]`)
)

// anchors returns the anchors that GitHub and GitLab give the headings of a document.
func anchors(markdown string) map[string]bool {
	all := make(map[string]bool)
	for _, found := range heading.FindAllStringSubmatch(fenced.ReplaceAllString(markdown, ""), -1) {
		name := strings.ReplaceAll(dropped.ReplaceAllString(strings.ToLower(found[1]), ""), " ", "-")
		anchor := name
		for n := 1; all[anchor]; n++ {
			anchor = fmt.Sprintf("%s-%d", name, n)
		}
		all[anchor] = true
	}
	return all
}

func TestLinksOfTheDocumentsLeadSomewhere(t *testing.T) {
	documents, err := filepath.Glob(filepath.Join(root, "*.md"))
	if err != nil || len(documents) < 5 {
		t.Fatalf("looking for documents: got %d and the error %v, want all of them", len(documents), err)
	}
	documents = append(documents, filepath.Join(root, "deploy", "README.md"), filepath.Join(root, "cmd", "etcd-tlsproxy-bench", "README.md"))
	for _, document := range documents {
		data, err := os.ReadFile(document)
		if err != nil {
			t.Fatal(err)
		}
		for _, found := range link.FindAllStringSubmatch(fenced.ReplaceAllString(string(data), ""), -1) {
			if strings.Contains(found[1], "://") {
				continue
			}
			path, anchor, _ := strings.Cut(found[1], "#")
			target := document
			if path != "" {
				target = filepath.Join(filepath.Dir(document), filepath.FromSlash(path))
			}
			if _, err := os.Stat(target); err != nil {
				t.Errorf("%s links to %s, which does not exist", document, found[1])
				continue
			}
			if anchor == "" {
				continue
			}
			content, err := os.ReadFile(target)
			if err != nil {
				t.Fatal(err)
			}
			if !anchors(string(content))[anchor] {
				t.Errorf("%s links to %s, but there is no such heading", document, found[1])
			}
		}
	}
}

func TestHeadingsOfTheReferenceAreDistinct(t *testing.T) {
	documents, err := Generate(root)
	if err != nil {
		t.Fatalf("generating the documents: %v", err)
	}
	seen := make(map[string]bool)
	for _, found := range heading.FindAllStringSubmatch(fenced.ReplaceAllString(string(documents["REFERENCE.md"]), ""), -1) {
		name := dropped.ReplaceAllString(strings.ToLower(found[1]), "")
		if seen[name] {
			t.Errorf("two headings of REFERENCE.md have the anchor of %q, so links to one of them lead to the other", found[1])
		}
		seen[name] = true
	}
}

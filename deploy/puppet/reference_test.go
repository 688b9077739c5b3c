package puppet

import (
	"flag"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
)

//go:generate go test . -run TestTheReferenceOfTheModuleIsGenerated -update

var update = flag.Bool("update", false, "write the generated documents")

var (
	classLine     = regexp.MustCompile(`(?m)^class (\S+) \($`)
	parameterLine = regexp.MustCompile(`^  (.+) \$(\w+)(?: = (.*))?,$`)
)

// TestTheReferenceOfTheModuleIsGenerated keeps REFERENCE.md equal to the comments and the
// types of the public classes. With -update it writes the file.
func TestTheReferenceOfTheModuleIsGenerated(t *testing.T) {
	var b strings.Builder
	b.WriteString("# Reference of the Puppet classes\n\nGenerated from the manifests by `go generate ./deploy/puppet`.\n")
	for _, name := range []string{"etcd_tlsproxy/manifests/init.pp", "profile/manifests/etcd/tlsproxy.pp"} {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if err := describeClass(&b, string(data)); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
	}
	if *update {
		if err := os.WriteFile("REFERENCE.md", []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	got, err := os.ReadFile("REFERENCE.md")
	if err != nil || string(got) != b.String() {
		t.Errorf("REFERENCE.md (%v) differs from the manifests (hint: go generate ./deploy/puppet)", err)
	}
}

// describeClass writes the section of a class: its summary and its parameters.
func describeClass(b *strings.Builder, manifest string) error {
	class := classLine.FindStringSubmatchIndex(manifest)
	if class == nil {
		return fmt.Errorf("there is no class with parameters")
	}
	summary, texts := readComments(manifest[:class[0]])
	fmt.Fprintf(b, "\n## %s\n\n%s\n\n| parameter | type | default | meaning |\n|---|---|---|---|\n", manifest[class[2]:class[3]], summary)
	list, _, _ := strings.Cut(manifest[class[1]+1:], "\n) {")
	for line := range strings.Lines(list + "\n") {
		found := parameterLine.FindStringSubmatch(strings.TrimSuffix(line, "\n"))
		if found == nil {
			return fmt.Errorf("%q is not a parameter in one line", line)
		}
		text := texts[found[2]]
		if text == "" {
			return fmt.Errorf("the parameter %s has no @param", found[2])
		}
		value := "required"
		if found[3] != "" {
			value = "`" + found[3] + "`"
		}
		fmt.Fprintf(b, "| `%s` | `%s` | %s | %s |\n", found[2], strings.ReplaceAll(found[1], "|", `\|`), value, text)
	}
	return nil
}

// readComments returns the summary and the texts of the parameters.
func readComments(comments string) (summary string, texts map[string]string) {
	texts = make(map[string]string)
	name := ""
	for line := range strings.Lines(comments) {
		line = strings.TrimSpace(strings.TrimPrefix(line, "#"))
		if after, ok := strings.CutPrefix(line, "@param "); ok {
			name = after
			continue
		}
		line = strings.TrimPrefix(line, "@summary ")
		if name == "" {
			summary = strings.TrimSpace(summary + " " + line)
		} else {
			texts[name] = strings.TrimSpace(texts[name] + " " + line)
		}
	}
	return summary, texts
}

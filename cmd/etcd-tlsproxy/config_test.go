package main

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/BurntSushi/toml"
)

func files(t testing.TB, pattern string) map[string][]byte {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join("testdata", "config", pattern))
	if err != nil || len(paths) == 0 {
		t.Fatalf("%s: %v, %d files", pattern, err, len(paths))
	}
	contents := make(map[string][]byte)
	for _, path := range paths {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		contents[filepath.Base(path)] = data
	}
	return contents
}

func TestGoodConfigurations(t *testing.T) {
	for name, data := range files(t, "*.good.toml") {
		if _, err := ParseConfig(name, data); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestBadConfigurations compares with NAME.bad.txt, the exact message.
func TestBadConfigurations(t *testing.T) {
	wanted := files(t, "*.bad.txt")
	for name, data := range files(t, "*.bad.toml") {
		_, err := ParseConfig(name, data)
		if err == nil {
			t.Errorf("%s was accepted", name)
			continue
		}
		want := string(wanted[strings.TrimSuffix(name, ".toml")+".txt"])
		if got := err.Error() + "\n"; got != want {
			t.Errorf("%s:\n got %s\nwant %s", name, got, want)
		}
		if strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: a password is repeated: %v", name, err)
		}
	}
	if bad := files(t, "*.bad.toml"); len(bad) != len(wanted) {
		t.Errorf("%d bad files and %d messages", len(bad), len(wanted))
	}
}

func TestEveryKeyHasAPlaceAndIsInTheFullExample(t *testing.T) {
	parse := func(name string) (*document, *Config, []string) {
		data := files(t, name)[name]
		doc, config, err := parseDocument(name, data)
		if err != nil {
			t.Fatal(err)
		}
		return doc, config, strings.Split(string(data), "\n")
	}
	full, config, fullLines := parse("full.good.toml")
	// What does not go with upstream.endpoints has an example of its own.
	srv, _, srvLines := parse("srv.good.toml")
	for _, key := range knownKeys("", reflect.TypeFor[Config]()) {
		if key == "surfaces" || key == "acls" {
			continue
		}
		doc, lines := full, fullLines
		if key == "upstream.srv" || key == "upstream.resolver" || key == "upstream.srv_refresh" {
			doc, lines = srv, srvLines
		}
		path := strings.Split(key, ".")
		_, line := doc.locate(path...)
		if line == 0 || !strings.Contains(lines[line-1], path[len(path)-1]) {
			t.Errorf("%s is looked for in line %d", key, line)
		}
	}
	fallback := DefaultConfig()
	for i, field := range reflect.VisibleFields(reflect.TypeFor[Limits]()) {
		if reflect.ValueOf(config.Limits).Field(i).Equal(reflect.ValueOf(fallback.Limits).Field(i)) && field.Name != "HashWorkers" {
			t.Errorf("limits.%s has its default in the full example", field.Name)
		}
	}
}

func TestTheREADMEsExampleIsGood(t *testing.T) {
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, ok := strings.Cut(string(readme), "```toml\n")
	example, _, ok2 := strings.Cut(rest, "```")
	if !ok || !ok2 {
		t.Fatal("there is no example")
	}
	config, err := ParseConfig("README.md", []byte(example))
	if err != nil || len(config.ACLs) != 3 {
		t.Errorf("%+v, %v", config, err)
	}
	for _, key := range knownKeys("", reflect.TypeFor[Config]()) {
		table, _, inside := strings.Cut(key, ".")
		if inside && table != "limits" && !strings.Contains(string(readme), "`"+key+"`") {
			t.Errorf("the README does not tell of %s", key)
		}
	}
}

func FuzzConfig(f *testing.F) {
	for _, data := range files(f, "*.toml") {
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		config, err := ParseConfig("f", data)
		if err != nil {
			var wrong *ConfigError
			if !errors.As(err, &wrong) {
				t.Fatalf("an error without a place: %v", err)
			}
			return
		}
		// Written and read again it is the same.
		var text bytes.Buffer
		for prefix, rule := range config.ACLs {
			if !rule.ReadGiven && len(rule.Read) == 0 {
				rule.Read, rule.ReadGiven = []string{}, true
				config.ACLs[prefix] = rule
			}
		}
		if err := toml.NewEncoder(&text).Encode(config); err != nil {
			t.Fatalf("%q: %v", data, err)
		}
		again, err := ParseConfig("f", text.Bytes())
		if err != nil {
			t.Fatalf("%q was written as\n%s\nand refused: %v", data, text.String(), err)
		}
		if len(config.Surfaces) == 0 {
			config.Surfaces, again.Surfaces = nil, nil
		}
		if len(config.Auth.Htpasswd) == 0 {
			config.Auth.Htpasswd, again.Auth.Htpasswd = nil, nil
		}
		if len(config.ACLs) == 0 {
			config.ACLs, again.ACLs = nil, nil
		}
		if !reflect.DeepEqual(config, again) {
			t.Fatalf("%q became\n%+v, and again\n%+v", data, config, again)
		}
	})
}

package daemon

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/config"
)

func write(l *logs, line string) {
	_, _ = l.records.Audit.Write([]byte(line + "\n")) // the log counts and reports what it loses
	l.records.Audit.Flush()
}

func TestLogFilesAreOpenedAgain(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.log")
	logs, err := openLogs(&config.Log{Access: "off", Audit: path, Level: "info", Format: "json"}, io.Discard, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	write(logs, "one")
	if err := os.Rename(path, path+".1"); err != nil {
		t.Fatal(err)
	}
	write(logs, "two")
	if err := logs.reopen(); err != nil {
		t.Fatal(err)
	}
	write(logs, "three")
	if err := logs.close(); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]int{path: 1, path + ".1": 2} {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Count(string(data), "\n"); got != want {
			t.Errorf("%s has %d lines, want %d:\n%s", name, got, want, data)
		}
	}
}

func TestAStartBehindALineThatWasCutOffBeginsALine(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.log")
	if err := os.WriteFile(path, []byte("{\"t"), 0o600); err != nil {
		t.Fatal(err)
	}
	logs, err := openLogs(&config.Log{Access: "off", Audit: path, Level: "info", Format: "json"}, io.Discard, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	write(logs, "one")
	if err := logs.close(); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(path); err != nil || string(got) != "{\"t\none\n" {
		t.Errorf("the log: got %q, %v; want the new line on its own", got, err)
	}
}

func TestALogThatIsMovedEndsWithItsNewPlace(t *testing.T) {
	folder := t.TempDir()
	one, two := filepath.Join(folder, "one.log"), filepath.Join(folder, "two.log")
	c := config.Log{Access: filepath.Join(folder, "access.log"), Audit: one, Level: "info", Format: "json"}
	logs, err := openLogs(&c, io.Discard, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	write(logs, "one")
	for _, where := range []string{two, "off", one} {
		c.Audit = where
		if err := logs.apply(&c); err != nil {
			t.Fatal(err)
		}
		write(logs, "a record")
	}
	c.Access = "off" // its lines have another form
	if err := errors.Join(logs.apply(&c), logs.close()); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string][]string{one: {"one", `"msg":"moved","to":"` + two + `"}`, "a record"}, two: {"a record", `"msg":"moved","to":"off"}`}, filepath.Join(folder, "access.log"): nil} {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		lines := strings.FieldsFunc(string(text), func(r rune) bool { return r == '\n' })
		if !slices.EqualFunc(lines, want, strings.HasSuffix) {
			t.Errorf("%s: got the lines %q, want %q", path, lines, want)
		}
	}
}

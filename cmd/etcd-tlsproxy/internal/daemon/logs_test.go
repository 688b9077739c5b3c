package daemon

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/config"
)

func write(l *logs, line string) {
	_, _ = l.records.Audit.Write([]byte(line + "\n")) // the log counts and reports what it loses
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

package daemon

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/config"
	"etcd-tlsproxy/proxy/observe"
)

// openTestLogs opens an audit log that is required, with one record.
func openTestLogs(t *testing.T) (logs *logs, path string, service *bytes.Buffer) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "logs", "audit.log")
	if err := os.Mkdir(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	service = &bytes.Buffer{}
	logs, err := openLogs(&config.Log{Access: "off", Audit: path, AuditRequired: true, Level: "info", Format: "json"}, io.Discard, service)
	if err != nil {
		t.Fatal(err)
	}
	observe.New(observe.NewMetrics("test"), logs.records)
	t.Cleanup(func() { _ = logs.close() })
	write(logs, "one")
	return logs, path, service
}

func contents(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestALogThatIsRemovedIsOpenedAgainAndSaysWhatIsLost(t *testing.T) {
	logs, path, service := openTestLogs(t)
	if err := errors.Join(os.Chmod(path, 0o600), logs.check(), os.Remove(path)); err != nil {
		t.Fatal(err)
	}
	write(logs, "two")
	write(logs, "three")
	if err := logs.check(); err != nil {
		t.Fatal(err)
	}
	write(logs, "four")
	lines := strings.Split(contents(t, path), "\n")
	if len(lines) != 3 || !strings.Contains(lines[0], `"msg":"opened again: the file was removed or replaced","what":"no file was at the path","lost":2,`) || lines[1] != "four" {
		t.Errorf("the new file: got %q, want a line about the 2 records that are lost, and the next record", lines)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the new file: got %v, %v; want the rights 0600 of the old one", info, err)
	}
	if !strings.Contains(service.String(), "level=WARN msg=\"a log was opened again: its file was removed or replaced\" log=audit") {
		t.Errorf("the service log: got %q, want a warning that the log was opened again", service)
	}
}

func TestARotationWithASignalIsQuiet(t *testing.T) {
	logs, path, service := openTestLogs(t)
	rotate := func() {
		t.Helper()
		if err := errors.Join(os.Rename(path, path+".1"), os.WriteFile(path, nil, 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	rotate()
	if err := errors.Join(logs.check(), logs.reopen(), logs.check(), logs.check()); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.Truncate(path, 0), logs.check()); err != nil { // copytruncate
		t.Fatal(err)
	}
	if got := service.String() + contents(t, path); got != "" {
		t.Errorf("a rotation with a signal: got %q in the logs, want nothing", got)
	}
	rotate()
	if err := errors.Join(logs.check(), logs.check()); err != nil {
		t.Fatal(err)
	}
	if got := contents(t, path); !strings.Contains(got, `"what":"another file is at the path","lost":0,`) {
		t.Errorf("a rotation without a signal: got %q in the new file, want that it was opened again", got)
	}
}

func TestALogThatCannotBeOpenedAtItsPathFailsUntilItCan(t *testing.T) {
	logs, path, service := openTestLogs(t)
	if err := errors.Join(os.Rename(path, path+".1"), os.Mkdir(path, 0o700)); err != nil {
		t.Fatal(err)
	}
	if err := logs.reopen(); err == nil {
		t.Fatal("opening a directory as a log: got no error")
	}
	if logs.records.Audited() {
		t.Error("writes may be carried out while the required log is not at its path")
	}
	write(logs, "two")
	if got, want := service.String(), "level=ERROR msg=\"records are lost: a log cannot be written\" log=audit lost=0 error=\"records go to a file that is no longer at "+path; !strings.Contains(got, want) {
		t.Errorf("the service log: got %q, want %q", got, want)
	}
	if got := contents(t, path+".1"); got != "one\ntwo\n" {
		t.Errorf("the file that was moved: got %q, want both records", got)
	}
	if err := errors.Join(os.Remove(path), logs.check()); err != nil {
		t.Fatal(err)
	}
	if got := contents(t, path); !logs.records.Audited() || !strings.Contains(got, `"lost":1,"since":`) {
		t.Errorf("once the path is free: got Audited %t and %q, want true and a line about the record that is elsewhere", logs.records.Audited(), got)
	}
}

func TestALogThatIsMovedBackIsWritten(t *testing.T) {
	logs, path, _ := openTestLogs(t)
	if err := errors.Join(os.Rename(path, path+".1"), os.Mkdir(path, 0o700), logs.check()); err != nil {
		t.Fatal(err)
	}
	if err := logs.check(); err == nil || logs.records.Audited() {
		t.Fatalf("a directory at the path of a log: got %v and Audited %t, want an error and false", err, logs.records.Audited())
	}
	if err := errors.Join(os.Remove(path), os.Rename(path+".1", path), logs.check()); err != nil {
		t.Fatal(err)
	}
	if !logs.records.Audited() {
		t.Error("the log is at its path again: got Audited false, want true")
	}
}

package daemon

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/config"
)

func TestInTheJournalEachLineHasThePriorityOfItsLevel(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal")
	file, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		t.Fatal(err)
	}
	stat := info.Sys().(*syscall.Stat_t)
	write := func() {
		handler := newServiceHandler(file, slog.LevelDebug, &atomic.Bool{})
		log := slog.New(handler).With("a", 1)
		log.Debug("d")
		log.Info("i")
		log.Warn("w")
		log.Error("e")
		handler.out.close()
	}
	t.Setenv("JOURNAL_STREAM", fmt.Sprintf("%d:%d", stat.Dev, stat.Ino))
	write()
	t.Setenv("JOURNAL_STREAM", "1:1") // the journal is not this stream
	write()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(string(data)), "\n")
	if len(lines) != 8 {
		t.Fatalf("got %d lines, want 8:\n%s", len(lines), data)
	}
	for i, want := range []string{"<7>time=", "<6>time=", "<4>time=", "<3>time=", "time=", "time=", "time=", "time="} {
		if !strings.HasPrefix(lines[i], want) || !strings.HasSuffix(lines[i], " a=1") {
			t.Errorf("line %d: got %s, want it to begin with %s and to end with its attribute", i, lines[i], want)
		}
	}
}

func TestAListInTheTextFormCanBeRead(t *testing.T) {
	var out bytes.Buffer
	log := slog.New(newServiceHandler(&out, slog.LevelDebug, &atomic.Bool{}))
	want := []string{"users added: alice, bob", `rules changed: /a "b" <c>`, ""}
	log.Info("reloaded", "changed", want)
	_, quoted, _ := strings.Cut(strings.TrimSpace(out.String()), " changed=")
	text, err := strconv.Unquote(quoted)
	if err != nil {
		t.Fatalf("got the line %s, want a quoted value of changed at its end", &out)
	}
	var got []string
	if err := json.Unmarshal([]byte(text), &got); err != nil || !slices.Equal(got, want) {
		t.Errorf("the list in %s: got %q (%v), want %q", &out, got, err, want)
	}
}

func TestTheServiceLogCanBeJSON(t *testing.T) {
	var out bytes.Buffer
	c := &config.Log{Access: "off", Audit: "off", Service: "text", Level: "info", Format: "json"}
	logs, err := openLogs(c, io.Discard, &out)
	if err != nil {
		t.Fatal(err)
	}
	logs.service.Info("one", "a", 1)
	c.Service = "json"
	if err := logs.apply(c); err != nil {
		t.Fatal(err)
	}
	logs.service.Info("two", "a", 2)
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	var entry struct {
		Msg string
		A   int
	}
	if len(lines) != 2 || !strings.Contains(lines[0], "msg=one a=1") || json.Unmarshal([]byte(lines[1]), &entry) != nil || entry.Msg != "two" || entry.A != 2 {
		t.Errorf("the service log: got\n%s\nwant a line of text and one of JSON", out.String())
	}
}

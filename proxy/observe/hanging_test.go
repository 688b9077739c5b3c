package observe

import (
	"io"
	"os"
	"strings"
	"testing"
	"time"
)

func TestNobodyWaitsForALogThatNobodyReads(t *testing.T) {
	records, _, _ := newRecords(newDisk(-1))
	records.AuditRequired.Store(true)
	reader, writer, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	records.Audit.Switch(writer)
	line, written := []byte(strings.Repeat("x", 1023)+"\n"), 0
	for ; !records.Audit.Failing(); written++ {
		if written > 10_000 {
			t.Fatal("10 MB were written to a pipe that nobody reads, and no record was lost")
		}
		_, _ = records.Audit.Write(line)
	}
	if s := records.Audit.status(); !s.Failing || s.Lost == 0 || s.Error == "" {
		t.Errorf("the status of the log: got %+v, want it failing with lost records and an error", s)
	}
	if records.Audited() {
		t.Error("with log.audit_required: got that writes are audited, want that they are not")
	}
	read := make(chan string)
	go func() {
		text, _ := io.ReadAll(reader)
		read <- string(text)
	}()
	for limit := time.Now().Add(10 * time.Second); !records.Audited(); {
		if time.Now().After(limit) {
			t.Fatal("once all is read: got that writes are not audited, want that they are")
		}
		time.Sleep(time.Millisecond) //nolint:forbidigo // the goroutine of the queue tells nobody
	}
	_, _ = records.Audit.Write([]byte("last\n"))
	records.Audit.Switch(nil)
	writer.Close()
	lost := int(records.Audit.status().Lost)
	text := <-read
	got, rest := strings.Count(text, string(line)), strings.ReplaceAll(text, string(line), "")
	if got != written-lost || strings.Count(rest, "\n") != 2 || !strings.Contains(rest, `"msg":"records lost","lost":1,`) || !strings.HasSuffix(rest, "\nlast\n") {
		t.Errorf("once somebody reads: got %d records of %d, %d lost, and behind them %q; want all others, a notice and the last record", got, written, lost, rest)
	}
}

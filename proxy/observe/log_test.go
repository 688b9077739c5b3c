package observe

import (
	"encoding/json"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// disk is a writer that can be full.
type disk struct {
	memoryLog
	free atomic.Int64 // bytes; below 0 means that there is no limit
}

func newDisk(free int64) *disk {
	d := new(disk)
	d.free.Store(free)
	return d
}

var errFull = errors.New("no space left on device")

func (d *disk) Write(p []byte) (int, error) {
	free := d.free.Load()
	if free < 0 {
		return d.memoryLog.Write(p)
	}
	n := min(len(p), int(free))
	d.free.Add(int64(-n))
	if _, err := d.memoryLog.Write(p[:n]); err != nil {
		return 0, err
	}
	if n < len(p) {
		return n, errFull
	}
	return n, nil
}

// newRecords returns an audit log on a full disk, and what it reports to the service log.
func newRecords(d *disk) (*Records, *Metrics, *memoryLog) {
	var service memoryLog
	records := NewRecords(RecordOptions{Audit: d, Access: d, Service: slog.New(slog.NewTextHandler(&service, nil))})
	metrics := NewMetrics("test")
	New(metrics, records)
	return records, metrics, &service
}

func TestLostRecordsAreCountedAndReportedOnceAMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		records, metrics, service := newRecords(newDisk(0))
		defer records.Audit.Switch(nil)
		for range 150 { // in 150 seconds
			if _, err := records.Audit.Write([]byte("{}\n")); !errors.Is(err, errFull) {
				t.Fatalf("writing to a full disk: got the error %v, want %v", err, errFull)
			}
			time.Sleep(time.Second) //nolint:forbidigo // the clock is the bubble's: nothing waits
		}
		expectSeries(t, metrics, "etcd_tlsproxy_log_records_lost_total", map[string]float64{"etcd_tlsproxy_log_records_lost_total log=audit": 150})
		lines := strings.Split(strings.TrimSpace(service.String()), "\n")
		if len(lines) != 3 || !strings.Contains(lines[0], "log=audit lost=1 ") || !strings.Contains(lines[1], "lost=60 ") {
			t.Errorf("the service log after 150 s of losses: got\n%s\nwant 3 lines, the first with 1 lost record, the second with 60", service)
		}
		if s := records.Audit.status(); !s.Failing || s.Lost != 150 || s.Error != errFull.Error() || s.Since.IsZero() {
			t.Errorf("the status of the log: got %+v, want it failing with 150 lost records and the error", s)
		}
	})
}

func TestEachFailureOfALogIsReportedAtItsBeginning(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDisk(0)
		records, _, service := newRecords(d)
		defer records.Audit.Switch(nil)
		fail := func() {
			d.free.Store(0)
			_, _ = records.Audit.Write([]byte("{}\n"))
			d.free.Store(-1)
			_, _ = records.Audit.Write([]byte("{}\n"))
		}
		for i := range 3 {
			fail()
			if got := strings.Count(service.String(), `msg="records are lost: a log cannot be written" log=audit lost=1 `); got != i+1 {
				t.Errorf("the service log after failure %d within a minute: got %d lines about a beginning, want %d:\n%s", i+1, got, i+1, service)
			}
			time.Sleep(2 * time.Second) //nolint:forbidigo // the clock is the bubble's: nothing waits
		}
		before := strings.Count(service.String(), "level=ERROR")
		for range 100 {
			fail()
		}
		if got := strings.Count(service.String(), "level=ERROR") - before; got != 1 {
			t.Errorf("the service log after 100 failures at once: got %d more errors, want 1", got)
		}
	})
}

func TestALogThatIsClosedWhileItFailsSaysWhatIsLost(t *testing.T) {
	records, _, service := newRecords(newDisk(0))
	for range 3 {
		_, _ = records.Audit.Write([]byte("{}\n"))
	}
	records.Access.Switch(nil) // it has lost nothing
	records.Audit.Switch(nil)
	records.Audit.Switch(nil)
	want := `level=ERROR msg="records were lost: a log was closed before it could be written again" log=audit lost=3 since=`
	if got := service.String(); strings.Count(got, want) != 1 || strings.Count(got, "records were lost") != 1 {
		t.Errorf("the service log: got\n%s\nwant one line with %s", got, want)
	}
}

func TestAnAuditLogSaysWhereRecordsAreMissing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDisk(5)
		records, _, service := newRecords(d)
		defer records.Audit.Switch(nil)
		for range 3 {
			_, _ = records.Audit.Write([]byte(`{"msg":"request"}` + "\n"))
		}
		d.free.Store(-1)
		if _, err := records.Audit.Write([]byte(`{"msg":"later"}` + "\n")); err != nil {
			t.Fatal(err)
		}
		lines := strings.Split(strings.TrimSpace(d.String()), "\n")
		if len(lines) != 3 {
			t.Fatalf("the audit log: got %q, want the torn line, a notice and the later record", lines)
		}
		var notice struct {
			Msg   string
			Lost  int
			Since time.Time
		}
		if err := json.Unmarshal([]byte(lines[1]), &notice); err != nil || notice.Msg != "records lost" || notice.Lost != 3 || notice.Since.IsZero() {
			t.Errorf("the notice: got %s (%v), want one about 3 lost records", lines[1], err)
		}
		if lines[2] != `{"msg":"later"}` {
			t.Errorf("the line behind the notice: got %s, want the later record whole", lines[2])
		}
		if !strings.Contains(service.String(), "can be written again") || records.Audit.Failing() {
			t.Errorf("after the recovery: got failing %t and the service log\n%s\nwant a line that says it", records.Audit.Failing(), service)
		}
	})
}

func TestAnAuditLogIsTriedAgainWithoutARecord(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDisk(0)
		records, _, _ := newRecords(d)
		records.AuditRequired.Store(true)
		_, _ = records.Audit.Write([]byte("{}\n"))
		if records.Audited() {
			t.Error("Audited after a loss: got true, want false")
		}
		time.Sleep(10 * probeEvery) //nolint:forbidigo // the clock is the bubble's: nothing waits
		if records.Audited() || d.Len() > 0 {
			t.Errorf("Audited while the disk is full: got true or the line %q, want neither", d.String())
		}
		d.free.Store(-1)
		time.Sleep(2 * probeEvery) //nolint:forbidigo // the clock is the bubble's: nothing waits
		if !records.Audited() || !strings.Contains(d.String(), `"msg":"records lost","lost":1,`) {
			t.Errorf("after there is space again: got Audited %t and the log %q, want true and a notice", records.Audited(), d.String())
		}
	})
}

func TestALineThatAnEarlierProcessCutOffSwallowsNoOther(t *testing.T) {
	for before, want := range map[string]string{
		"":            "one\ntwo\n",
		"whole\n":     "whole\none\ntwo\n",
		"whole\n{\"t": "whole\n{\"t\none\ntwo\n",
	} {
		path := filepath.Join(t.TempDir(), "audit.log")
		if err := os.WriteFile(path, []byte(before), 0o600); err != nil {
			t.Fatal(err)
		}
		records, _, _ := newRecords(newDisk(-1))
		for _, line := range []string{"one\n", "two\n"} { // of two processes, or before and after a reload
			file, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
			if err != nil {
				t.Fatal(err)
			}
			records.Audit.Switch(file)
			_, _ = records.Audit.Write([]byte(line))
			records.Audit.Switch(nil)
			if err := file.Close(); err != nil {
				t.Fatal(err)
			}
		}
		if got, err := os.ReadFile(path); err != nil || string(got) != want {
			t.Errorf("a log with %q and two more lines: got %q, %v; want %q", before, got, err, want)
		}
	}
}

func TestAnAccessLogGetsNoLineThatIsNoRecord(t *testing.T) {
	d := newDisk(3)
	records, metrics, _ := newRecords(d)
	_, _ = records.Access.Write([]byte("one\n"))
	d.free.Store(-1)
	_, _ = records.Access.Write([]byte("two\n"))
	if got, want := d.String(), "one\ntwo\n"; got != want {
		t.Errorf("the access log after a torn line: got %q, want %q", got, want)
	}
	expectSeries(t, metrics, "etcd_tlsproxy_log_records_lost_total", map[string]float64{"etcd_tlsproxy_log_records_lost_total log=access": 1})
}

func TestALogThatIsNotRequiredStopsNoWrite(t *testing.T) {
	records, _, _ := newRecords(newDisk(0))
	defer records.Audit.Switch(nil)
	_, _ = records.Audit.Write([]byte("{}\n"))
	if !records.Audited() {
		t.Error("Audited after a loss, without AuditRequired: got false, want true")
	}
}

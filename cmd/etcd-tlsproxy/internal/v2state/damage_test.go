package v2state_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/v2state"
	"etcd-tlsproxy/proxy/proxytest"
)

// damage is a copy of the folder of a member.
type damage struct {
	t      *testing.T
	source v2state.Source
	// indexes are those of the store after each write of a key.
	indexes []uint64
}

// newDamage returns a copy of the folder of a member that has written snapshots, and was stopped.
func newDamage(t *testing.T) *damage {
	t.Helper()
	dir := t.TempDir()
	e, err := proxytest.StartEmbedded(proxytest.Options{Dir: dir, SnapshotCount: 50})
	if err != nil {
		t.Fatal(err)
	}
	m := &member{t, e.URL(), v2state.Source{DataDir: dir}}
	d := &damage{t: t, source: v2state.Source{DataDir: t.TempDir()}}
	for i := range 120 {
		_, index := m.do("PUT", fmt.Sprint("/key", i), fmt.Sprint("value=marker", i, "."))
		d.indexes = append(d.indexes, index)
	}
	m.do("GET", "/", "quorum=true")
	e.Close()
	if err := os.CopyFS(d.source.DataDir, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	return d
}

// last is the index of the last write.
func (d *damage) last() uint64 { return d.indexes[len(d.indexes)-1] }

// files returns the files that match a pattern, in order.
func (d *damage) files(pattern string) []string {
	d.t.Helper()
	found, err := filepath.Glob(filepath.Join(d.source.DataDir, "member", pattern))
	if err != nil || len(found) == 0 {
		d.t.Fatalf("found no file %s: %v", pattern, err)
	}
	return found
}

// edit changes a file.
func (d *damage) edit(path string, change func([]byte) []byte) {
	d.t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		d.t.Fatal(err)
	}
	if err := os.WriteFile(path, change(data), 0o600); err != nil {
		d.t.Fatal(err)
	}
}

func (d *damage) remove(path string) {
	d.t.Helper()
	if err := os.Remove(path); err != nil {
		d.t.Fatal(err)
	}
}

// newestLog returns the last file of the log.
func (d *damage) newestLog() string { logs := d.files("wal/*.wal"); return logs[len(logs)-1] }

// fails checks that the last index cannot be read.
func (d *damage) fails(what, want string, notYet bool) {
	d.t.Helper()
	_, err := d.source.Read(d.last())
	if err == nil || !strings.Contains(err.Error(), want) || errors.Is(err, v2state.ErrNotYet) != notYet || strings.Contains(err.Error(), "marker") {
		d.t.Errorf("%s: got the error %v, want %q, and %t of whether to try again", what, err, want, notYet)
	}
}

// lastRecord returns where the last record of a log begins, and where it ends.
func lastRecord(log []byte) (begin, end int) {
	for at := 0; at+8 <= len(log); {
		field := binary.LittleEndian.Uint64(log[at:])
		if field == 0 {
			break
		}
		length := int(field&(1<<56-1)) + 8
		if field>>63 == 1 {
			length += int(field >> 56 & 7)
		}
		begin, end = at, at+length
		at = end
	}
	return begin, end
}

func TestEachIndexBehindTheSnapshotsCanBeRead(t *testing.T) {
	d := newDamage(t)
	for i, index := range d.indexes {
		state, err := d.source.Read(index)
		if errors.Is(err, v2state.ErrNotYet) && i < 50 {
			continue // the log before the first snapshot that is left is gone
		}
		if err != nil || state.Index() != index {
			t.Fatalf("the index %d: got %v", index, err)
		}
		keys := 0
		for range state.Records() {
			keys++
		}
		if keys != i+1 {
			t.Errorf("at the index %d: got %d keys, want %d", index, keys, i+1)
		}
	}
	if _, err := d.source.Read(d.last() + 1); !errors.Is(err, v2state.ErrNotYet) {
		t.Errorf("an index of the future: got the error %v, want %v", err, v2state.ErrNotYet)
	}
	if _, err := d.source.Read(1); err == nil {
		t.Error("an index before the member was ready: got no error")
	}
}

func TestARecordThatIsUnderWayIsNoError(t *testing.T) {
	for what, change := range map[string]func(log []byte, begin, end int) []byte{
		"the file ends in its head":     func(log []byte, begin, _ int) []byte { return log[:begin+3] },
		"the file ends in its data":     func(log []byte, _, end int) []byte { return log[:end-3] },
		"the file ends before it":       func(log []byte, begin, _ int) []byte { return log[:begin] },
		"its data is not there yet":     func(log []byte, begin, end int) []byte { clear(log[begin+8 : end]); return log },
		"nothing is reserved behind it": func(log []byte, _, end int) []byte { return log[:end] },
	} {
		d := newDamage(t)
		d.edit(d.newestLog(), func(log []byte) []byte {
			begin, end := lastRecord(log)
			return change(log, begin, end)
		})
		// The last record is not the last write: reading with a quorum was behind it.
		if state, err := d.source.Read(d.last()); err != nil && !errors.Is(err, v2state.ErrNotYet) {
			t.Errorf("%s: got %+v and the error %v, want none", what, state, err)
		}
		if _, err := d.source.Read(d.indexes[len(d.indexes)-3]); err != nil {
			t.Errorf("%s, two writes before: got the error %v, want none", what, err)
		}
	}
}

func TestADamagedLogIsAnError(t *testing.T) {
	d := newDamage(t)
	d.edit(d.newestLog(), func(log []byte) []byte { return bytes.Replace(log, []byte("marker115."), []byte("marker116."), 1) })
	d.fails("a changed value in the log", "the checksum of a record is", false)
	d = newDamage(t)
	d.remove(d.newestLog())
	d.fails("no log", "has no file with the entries behind", true)
	if err := os.RemoveAll(filepath.Join(d.source.DataDir, "member", "wal")); err != nil {
		t.Fatal(err)
	}
	d.fails("no folder of the log", "finding the log", false)
}

func TestAnEtcdThatIsStillWritingItsSnapshotHasAnOlderOne(t *testing.T) {
	d := newDamage(t)
	snapshots := d.files("snap/*.snap")
	if len(snapshots) < 2 {
		t.Fatalf("got %q, want two snapshots", snapshots)
	}
	newest := len(snapshots) - 1
	for i, want := range []string{filepath.Base(snapshots[newest]), filepath.Base(snapshots[newest-1])} {
		state, err := d.source.Read(d.last())
		if err != nil || state.Snapshot != want {
			t.Fatalf("with %d snapshots that are not complete: got %+v and the error %v, want %s", i, state, err, want)
		}
		d.edit(snapshots[newest-i], func(data []byte) []byte { return data[:len(data)-10] })
	}
	for _, path := range snapshots[:newest-1] {
		d.edit(path, func([]byte) []byte { return nil })
	}
	d.fails("no complete snapshot", "it is not a valid message", false)
	for _, path := range snapshots {
		d.edit(path, func([]byte) []byte { return []byte("\x08\x01\x12\x01x") })
	}
	d.fails("snapshots with a wrong checksum", "its checksum is wrong", false)
}

func TestAFolderWithoutSnapshotsIsNoMember(t *testing.T) {
	d := &damage{t: t, source: v2state.Source{DataDir: t.TempDir()}, indexes: []uint64{5}}
	d.fails("an empty folder", "finding the snapshots", false)
}

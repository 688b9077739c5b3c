package v2state

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/memberhost"
)

// log has the entries behind a snapshot. Newer entries have replaced older ones with the same index.
type log struct {
	from    uint64 // the index of the snapshot
	entries []entry
	commit  uint64
}

// committed returns the entries that no other member can replace any more.
func (l *log) committed() []entry {
	if l.commit <= l.from {
		return nil
	}
	return l.entries[:min(uint64(len(l.entries)), l.commit-l.from)]
}

// readLog reads the entries behind an index.
func readLog(folder string, from uint64) (*log, error) {
	names, err := segments(folder, from)
	if err != nil {
		return nil, err
	}
	l := &log{from: from}
	sum := uint32(0)
	for i, name := range names {
		path := filepath.Join(folder, name)
		sum, err = l.readSegment(path, sum)
		switch {
		case errors.Is(err, fs.ErrNotExist): // etcd removes files that no snapshot needs
			return nil, fmt.Errorf("%w: %w", ErrNotYet, err)
		case errors.Is(err, errTorn) && i == len(names)-1: // the last record may be under way
		case err != nil:
			return nil, fmt.Errorf("reading the log %s: %w", path, err)
		}
	}
	return l, nil
}

// segments returns the names of the files of a log that have the entries behind an index. A name is the
// number of the file and the index of its first entry.
func segments(folder string, from uint64) ([]string, error) {
	entries, err := os.ReadDir(folder)
	if err != nil {
		return nil, fmt.Errorf("finding the log of the member: %w", err)
	}
	var names []string
	first, last := -1, uint64(0)
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), ".wal") {
			continue
		}
		var number, index uint64
		if n, err := fmt.Sscanf(e.Name(), "%016x-%016x.wal", &number, &index); n != 2 || err != nil {
			continue // a file that etcd is preparing
		}
		if len(names) > 0 && number != last+1 {
			return nil, fmt.Errorf("%w: the log in %s lacks the file %d", ErrNotYet, folder, last+1)
		}
		if index <= from {
			first = len(names)
		}
		names, last = append(names, e.Name()), number
	}
	if first < 0 {
		return nil, fmt.Errorf("%w: the log in %s has no file with the entries behind %d", ErrNotYet, folder, from)
	}
	return names[first:], nil
}

// readSegment reads one file. sum is the checksum at the end of the file before, and the result that at
// the end of this one.
func (l *log) readSegment(path string, sum uint32) (uint32, error) {
	file, err := memberhost.OpenOwned(path)
	if err != nil {
		return 0, err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return 0, err
	}
	r := &records{in: bufio.NewReaderSize(file, 1<<20), left: info.Size(), sum: sum}
	for {
		kind, data, err := r.next()
		if err == nil {
			err = l.add(kind, data)
		}
		if errors.Is(err, errEnd) {
			return r.sum, nil
		}
		if err != nil {
			return r.sum, fmt.Errorf("at the byte %d: %w", r.at, err)
		}
	}
}

// add adds a record.
func (l *log) add(kind uint64, data []byte) error {
	switch kind {
	case entryRecord:
		e, err := decodeEntry(data)
		if err != nil {
			return err
		}
		if e.index <= l.from {
			return nil
		}
		place := e.index - l.from - 1
		if place > uint64(len(l.entries)) {
			return fmt.Errorf("found the entry %d, want %d", e.index, l.from+uint64(len(l.entries))+1)
		}
		l.entries = append(l.entries[:place], e)
	case stateRecord:
		var m message
		if err := m.decode(data); err != nil {
			return err
		}
		l.commit = m.numbers[3]
	case metadataRecord, checksumRecord, snapshotRecord:
	default:
		return fmt.Errorf("found a record of the unknown type %d", kind)
	}
	return nil
}

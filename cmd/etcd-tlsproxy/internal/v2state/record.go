package v2state

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"slices"
)

// The types of records in a log.
const (
	metadataRecord = iota + 1
	entryRecord
	stateRecord
	checksumRecord
	snapshotRecord
)

// errEnd means that a file has no further record. errTorn means that its last record is not complete: etcd
// is writing it, or was stopped while it did.
var (
	errEnd  = errors.New("the log ends here")
	errTorn = errors.New("the last record of the log is not complete")
)

// records reads the records of one file of a log. The rest of a file can be zeros, which etcd has
// reserved.
type records struct {
	in   *bufio.Reader
	left int64 // bytes of the file
	// sum is the checksum of all records so far; it goes on from file to file.
	sum uint32
	at  int64
}

// sector is the unit in which disks write. A record that was being written can have sectors of zeros.
const sector = 512

// next returns the type of the next record and its data. Eight bytes before each record give its length,
// with that of its padding in the top byte.
func (r *records) next() (kind uint64, data []byte, err error) {
	var head [8]byte
	if r.left < int64(len(head)) {
		return 0, nil, errEnd
	}
	if _, err := io.ReadFull(r.in, head[:]); err != nil {
		return 0, nil, errEnd
	}
	field := binary.LittleEndian.Uint64(head[:])
	if field == 0 {
		return 0, nil, errEnd
	}
	length, padding := int64(field&(1<<56-1)), int64(0)
	if field>>63 == 1 {
		padding = int64(field >> 56 & 7)
	}
	r.left -= int64(len(head))
	r.at += int64(len(head))
	if length+padding > r.left {
		return 0, nil, errTorn
	}
	frame := make([]byte, length+padding)
	if _, err := io.ReadFull(r.in, frame); err != nil {
		return 0, nil, errTorn
	}
	kind, data, err = r.check(frame[:length])
	if err != nil && torn(frame, r.at) {
		err = errTorn
	}
	r.left -= length + padding
	r.at += length + padding
	return kind, data, err
}

// check decodes a record and compares its checksum.
func (r *records) check(record []byte) (kind uint64, data []byte, err error) {
	var m message
	if err := m.decode(record); err != nil {
		return 0, nil, err
	}
	kind, data = m.numbers[1], m.bytes[3]
	want := uint32(m.numbers[2])
	if kind == checksumRecord {
		// The first one of the files that are read says where the checksum begins.
		if r.sum != 0 && r.sum != want {
			return 0, nil, fmt.Errorf("the checksum of all records before is %x, want %x", r.sum, want)
		}
		r.sum = want
		return kind, nil, nil
	}
	if r.sum = crc32.Update(r.sum, castagnoli, data); r.sum != want {
		return 0, nil, fmt.Errorf("the checksum of a record is %x, want %x", r.sum, want)
	}
	return kind, data, nil
}

// torn reports whether a part of a record was not written: a sector of it is zeros.
func torn(frame []byte, at int64) bool {
	for len(frame) > 0 {
		n := min(int(sector-at%sector), len(frame))
		if !slices.ContainsFunc(frame[:n], func(b byte) bool { return b != 0 }) {
			return true
		}
		frame, at = frame[n:], at+int64(n)
	}
	return false
}

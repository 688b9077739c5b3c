package recovery

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"syscall"

	"google.golang.org/protobuf/encoding/protowire"
)

// ID is an id of a member or a cluster, in hexadecimal as in etcd's API.
type ID uint64

func (id ID) String() string { return strconv.FormatUint(uint64(id), 16) }

// MarshalText writes the id in hexadecimal.
func (id ID) MarshalText() ([]byte, error) { return []byte(id.String()), nil }

// UnmarshalText reads the output of MarshalText.
func (id *ID) UnmarshalText(text []byte) error {
	n, err := strconv.ParseUint(string(text), 16, 64)
	*id = ID(n)
	return err
}

// Identity says which member a data folder belongs to.
type Identity struct {
	Member  ID `json:"id"`
	Cluster ID `json:"cluster_id"`
}

// Identify reads the identity of a data folder from the head of its write-ahead log.
// walDir is empty if the log is in the data folder. Identify fails for folders that are
// not etcd's, which this package must never change.
func Identify(dataDir, walDir string) (Identity, error) {
	if walDir == "" {
		walDir = filepath.Join(dataDir, "member", "wal")
	}
	segments, err := filepath.Glob(filepath.Join(walDir, "*-*.wal"))
	if err != nil || len(segments) == 0 {
		return Identity{}, fmt.Errorf("%s is not a data folder of etcd: it contains no member/wal/*.wal (hint: use the folder of etcd's --data-dir)", dataDir)
	}
	file, err := os.Open(segments[len(segments)-1])
	if err != nil {
		return Identity{}, err
	}
	defer file.Close()
	identity, err := readIdentity(io.LimitReader(file, walHead))
	if err != nil {
		return Identity{}, fmt.Errorf("%s is not a valid log of etcd: %w", file.Name(), err)
	}
	return identity, nil
}

const (
	// walHead is larger than the records up to the metadata.
	walHead = 64 << 10
	// metadataRecord is the type of the record that names the member.
	metadataRecord = 1
)

// readIdentity reads records until one names the member. Eight bytes before each record
// give its length, with its padding in the top byte.
func readIdentity(log io.Reader) (Identity, error) {
	for {
		var head [8]byte
		if _, err := io.ReadFull(log, head[:]); err != nil {
			return Identity{}, errors.New("it names no member")
		}
		field := binary.LittleEndian.Uint64(head[:])
		length := field & (1<<56 - 1)
		if field>>63 == 1 {
			length += field >> 56 & 7
		}
		if length == 0 || length > walHead {
			return Identity{}, errors.New("a record has an impossible length")
		}
		record := make([]byte, length)
		if _, err := io.ReadFull(log, record); err != nil {
			return Identity{}, errors.New("it names no member")
		}
		numbers, data := fields(record)
		if numbers[1] == metadataRecord {
			numbers, _ = fields(data)
			if numbers[1] == 0 {
				return Identity{}, errors.New("it names no member")
			}
			return Identity{ID(numbers[1]), ID(numbers[2])}, nil
		}
	}
}

// fields returns the numbers of a protobuf message and its last bytes field. Padding may
// follow the message.
func fields(message []byte) (numbers map[protowire.Number]uint64, data []byte) {
	numbers = make(map[protowire.Number]uint64)
	for len(message) > 0 {
		number, kind, n := protowire.ConsumeTag(message)
		if n < 0 {
			break
		}
		message = message[n:]
		switch kind {
		case protowire.VarintType:
			numbers[number], n = protowire.ConsumeVarint(message)
		case protowire.BytesType:
			data, n = protowire.ConsumeBytes(message)
		default:
			n = protowire.ConsumeFieldValue(number, kind, message)
		}
		if n < 0 {
			break
		}
		message = message[n:]
	}
	return numbers, data
}

// inUse reports whether an etcd runs on the folder. A running etcd holds a lock on its v3
// store.
func inUse(dataDir string) (bool, error) {
	file, err := os.Open(filepath.Join(dataDir, "member", "snap", "db"))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer file.Close() // this releases the lock
	err = syscall.Flock(int(file.Fd()), syscall.LOCK_SH|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return true, nil
	}
	return false, err
}

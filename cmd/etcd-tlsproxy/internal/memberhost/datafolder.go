package memberhost

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
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
// not etcd's, which must never be changed.
func Identify(dataDir, walDir string) (Identity, error) {
	if walDir == "" {
		walDir = LogOf(dataDir, "")
	}
	newest, err := newestSegment(walDir)
	if err != nil {
		return Identity{}, err
	}
	if newest == "" {
		return Identity{}, missingLog(dataDir, walDir)
	}
	file, err := OpenOwned(newest)
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

// newestSegment returns the path of the last file of a log, or "" if there is none. It
// reads the folder instead of matching a pattern, because the name of a folder can
// contain characters with a meaning in patterns.
func newestSegment(walDir string) (string, error) {
	entries, err := os.ReadDir(walDir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	newest := ""
	for _, entry := range entries { // sorted by name
		if strings.HasSuffix(entry.Name(), ".wal") && strings.Contains(entry.Name(), "-") {
			newest = filepath.Join(walDir, entry.Name())
		}
	}
	return newest, nil
}

// OpenOwned opens a file in a folder of etcd's user, who may have replaced it by a link, or
// by a pipe that nobody writes to.
func OpenOwned(path string) (*os.File, error) {
	return os.OpenFile(path, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
}

// missingLog returns the error for a data folder without a log.
func missingLog(dataDir, walDir string) error {
	if info, err := os.Stat(filepath.Join(dataDir, "member", "snap")); err == nil && info.IsDir() {
		return fmt.Errorf("%s has snapshots of etcd, but %s has no log (hint: if etcd runs with --wal-dir or ETCD_WAL_DIR, give that folder with --wal-dir)", dataDir, walDir)
	}
	return fmt.Errorf("%s is not a data folder of etcd: it contains no member/wal/*.wal (hint: use the folder of etcd's --data-dir)", dataDir)
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

// InUse reports whether an etcd runs on the folder. A running etcd holds a lock on its v3
// store.
func InUse(dataDir string) (bool, error) {
	file, err := OpenOwned(filepath.Join(dataDir, "member", "snap", "db"))
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

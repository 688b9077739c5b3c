package files

import (
	"os"
	"time"
)

// Stamp identifies a state of a file without reading it. It includes the change
// time, which every write, rename and change of owner updates.
type Stamp struct {
	exists            bool
	device, inode     uint64
	size              int64
	changed, modified time.Time
}

// StampOf returns the stamp of a file. It follows links, so a link with a new target counts as a change. Files are
// polled because a kernel watch is tied to one folder: it misses a link's target in
// another folder, and changes on a network file system. A poll of a few files costs
// microseconds.
func StampOf(path string) Stamp {
	info, err := os.Stat(path)
	if err != nil {
		return Stamp{}
	}
	s := Stamp{exists: true, size: info.Size(), modified: info.ModTime()}
	s.identify(info)
	return s
}

// Stamps holds the state of each file that an attempt to load the configuration
// read or wanted to read, by path.
type Stamps map[string]Stamp

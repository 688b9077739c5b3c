package main

import (
	"os"
	"syscall"
	"time"
)

// stamp tells one state of a file from another without reading it. The change
// time is part of it: no write, rename or change of owner leaves that as it was.
type stamp struct {
	exists         bool
	device, inode  uint64
	size           int64
	changed, wrote time.Time
}

// stampOf follows links: a file that is exchanged by turning a link around has
// changed. Files are polled rather than watched by the kernel because a watch
// sits on one folder and sees neither a link's target in another one nor a
// network file system; looking at a few files costs microseconds.
func stampOf(path string) stamp {
	info, err := os.Stat(path)
	if err != nil {
		return stamp{}
	}
	s := stamp{exists: true, size: info.Size(), wrote: info.ModTime()}
	if sys, ok := info.Sys().(*syscall.Stat_t); ok {
		s.device, s.inode = sys.Dev, sys.Ino
		s.changed = time.Unix(sys.Ctim.Unix())
	}
	return s
}

// stamps is the state of all files that an attempt to load a configuration read
// or wanted to read, by path.
type stamps map[string]stamp

package files

import (
	"os"
	"syscall"
	"time"
)

// identify adds what the file system knows about a file.
func (s *Stamp) identify(info os.FileInfo) {
	if sys, ok := info.Sys().(*syscall.Stat_t); ok {
		s.device, s.inode = sys.Dev, sys.Ino
		s.changed = time.Unix(sys.Ctim.Unix())
	}
}

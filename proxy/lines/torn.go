package lines

import (
	"io"
	"os"
)

// EndWithin reports whether a file ends with a line that was cut off: by a full disk, and
// perhaps before this process. If that cannot be read, an empty line is the lesser evil.
func EndWithin(to io.Writer) bool {
	file, ok := to.(*os.File)
	if !ok {
		return false
	}
	info, err := file.Stat()
	if err != nil || !info.Mode().IsRegular() || info.Size() == 0 {
		return false
	}
	written, err := os.Open(file.Name()) // file is open for writing only
	if err != nil {
		return true
	}
	defer written.Close()
	var last [1]byte
	_, err = written.ReadAt(last[:], info.Size()-1)
	return err != nil || last[0] != '\n'
}

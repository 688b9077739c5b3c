//go:build linux && (amd64 || arm64) && !race

package rawio

import (
	"syscall"
	"unsafe"
)

// Read is one read of a socket that does not block.
func Read(fd uintptr, p []byte) (int, error) {
	return retry(syscall.SYS_READ, fd, p, 0)
}

// Write is one write to a socket that does not block.
func Write(fd uintptr, p []byte) (int, error) {
	return retry(syscall.SYS_WRITE, fd, p, 0)
}

// Peek looks at what Read would read.
func Peek(fd uintptr, p []byte) (int, error) {
	return retry(syscall.SYS_RECVFROM, fd, p, syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
}

// again calls until no signal comes between. Reads and writes have three arguments, and
// do not look at the others.
func retry(call, fd uintptr, p []byte, flags uintptr) (int, error) {
	for {
		n, _, errno := syscall.RawSyscall6(call, fd, uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)), flags, 0, 0)
		if errno == 0 {
			return int(n), nil
		}
		if errno != syscall.EINTR {
			return 0, errno
		}
	}
}

//go:build linux && (amd64 || arm64) && !race

package rawio

import (
	"syscall"
	"unsafe"
)

// Read makes one read call on a non-blocking socket.
func Read(fd uintptr, p []byte) (int, error) {
	return retry(syscall.SYS_READ, fd, p, 0)
}

// Write makes one write call on a non-blocking socket.
func Write(fd uintptr, p []byte) (int, error) {
	return retry(syscall.SYS_WRITE, fd, p, 0)
}

// Peek returns the bytes that Read would return, without consuming them.
func Peek(fd uintptr, p []byte) (int, error) {
	return retry(syscall.SYS_RECVFROM, fd, p, syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
}

// retry repeats a call that a signal interrupted. read and write take three arguments and
// ignore the others.
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

//go:build !linux || !(amd64 || arm64) || race

package rawio

import "syscall"

// The race detector has to hear of what passes through a socket, and elsewhere the
// numbers of system calls are nobody's business.

// Read is one read of a socket that does not block.
func Read(fd uintptr, p []byte) (n int, err error) {
	return again(func() (int, error) { return syscall.Read(int(fd), p) })
}

// Write is one write to a socket that does not block.
func Write(fd uintptr, p []byte) (n int, err error) {
	return again(func() (int, error) { return syscall.Write(int(fd), p) })
}

// Peek looks at what Read would read.
func Peek(fd uintptr, p []byte) (n int, err error) {
	return again(func() (int, error) {
		n, _, err := syscall.Recvfrom(int(fd), p, syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		return n, err
	})
}

func again(call func() (int, error)) (int, error) {
	for {
		if n, err := call(); err != syscall.EINTR {
			return max(n, 0), err
		}
	}
}

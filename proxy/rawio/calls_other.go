//go:build !linux || !(amd64 || arm64) || race

package rawio

import "syscall"

// The race detector instruments package syscall, not raw calls; and system call numbers
// differ between platforms.

// Read makes one read call on a non-blocking socket.
func Read(fd uintptr, p []byte) (n int, err error) {
	return retry(func() (int, error) { return syscall.Read(int(fd), p) })
}

// Write makes one write call on a non-blocking socket.
func Write(fd uintptr, p []byte) (n int, err error) {
	return retry(func() (int, error) { return syscall.Write(int(fd), p) })
}

// Peek returns the bytes that Read would return, without consuming them.
func Peek(fd uintptr, p []byte) (n int, err error) {
	return retry(func() (int, error) {
		n, _, err := syscall.Recvfrom(int(fd), p, syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		return n, err
	})
}

func retry(call func() (int, error)) (int, error) {
	for {
		if n, err := call(); err != syscall.EINTR {
			return max(n, 0), err
		}
	}
}

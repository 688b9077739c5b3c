package rawio

import (
	"time"

	"golang.org/x/sys/unix"
)

// hangup is the event that the peer has closed its sending direction, even if unread bytes
// precede the end.
const hangup = unix.POLLRDHUP

// ack sends an acknowledgment that the kernel delays. The option does not last: the kernel
// delays again after this side has sent something.
func (c *Conn) ack() {
	_ = c.socket.Control(func(fd uintptr) {
		// A Unix socket has nothing to acknowledge and refuses the option.
		_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_QUICKACK, 1)
	})
}

// giveUpAfter sets the time for the socket.
func (c *Conn) giveUpAfter(d time.Duration) {
	_ = c.socket.Control(func(fd uintptr) {
		// A Unix socket has no such time and refuses the option.
		_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(d.Milliseconds()))
	})
}

package rawio

import (
	"net"

	"golang.org/x/sys/unix"
)

// AckAtOnce makes each Read acknowledge what it has received without delay, until it is
// switched off again. It must not be called during a Read.
//
// The kernel delays an acknowledgment by up to 40 ms if it expects an answer that can
// carry it. A peer whose socket has Nagle's algorithm on does not send its next bytes
// before that. Each acknowledgment costs a system call and a packet, so this is for the
// parts of a protocol in which nothing is sent back, such as the end of a handshake.
func (c *Conn) AckAtOnce(on bool) { c.ackAtOnce = on && c.socket != nil }

// ack sends an acknowledgment that the kernel delays. The option does not last: the kernel
// delays again after this side has sent something.
func (c *Conn) ack() {
	_ = c.socket.Control(func(fd uintptr) {
		// A Unix socket has nothing to acknowledge and refuses the option.
		_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_QUICKACK, 1)
	})
}

// AckListener makes its connections acknowledge at once whatever they read. It is for
// servers with so few requests that the packets do not matter.
type AckListener struct{ net.Listener }

// Accept waits for the next connection.
func (l AckListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	prompt := New(c, false)
	prompt.AckAtOnce(true)
	return prompt, nil
}

package rawio

import "net"

// AckAtOnce makes each Read acknowledge what it has received without delay, until it is
// switched off again. It must not be called during a Read.
//
// The kernel delays an acknowledgment by up to 40 ms if it expects an answer that can
// carry it. A peer whose socket has Nagle's algorithm on does not send its next bytes
// before that. Each acknowledgment costs a system call and a packet, so this is for the
// parts of a protocol in which nothing is sent back, such as the end of a handshake.
func (c *Conn) AckAtOnce(on bool) { c.ackAtOnce = on && c.socket != nil }

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

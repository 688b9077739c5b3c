//go:build !linux

package rawio

import (
	"time"

	"golang.org/x/sys/unix"
)

// hangup is the event that the peer has closed the connection. Only the operator's verbs
// run on other systems, and they do not use it.
const hangup = unix.POLLHUP

// ack does nothing.
func (c *Conn) ack() {}

// giveUpAfter does nothing.
func (c *Conn) giveUpAfter(time.Duration) {}

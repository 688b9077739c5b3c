package rawio

import "golang.org/x/sys/unix"

// hangup is the event that the peer has closed its sending direction, even if unread bytes
// precede the end.
const hangup = unix.POLLRDHUP

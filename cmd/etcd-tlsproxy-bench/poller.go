package main

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// poller tells when something reaches each of many sockets, without reading it and
// without being woken for each: the clients of a real proxy are elsewhere, and thousands
// of them that wake, read and decrypt on the proxy's own processors would be most of what
// is measured.
type poller struct {
	epoll  int
	events []unix.EpollEvent
}

// pollInterval is how often is looked, and how exact the times are.
const pollInterval = time.Millisecond

// newPoller looks at the sockets of watchers, which were made by dialBlocking.
func newPoller(watchers []*watcher) (*poller, error) {
	epoll, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, err
	}
	a := &poller{epoll: epoll, events: make([]unix.EpollEvent, len(watchers))}
	for i, w := range watchers {
		socket, ok := w.conn.NetConn().(*blocking)
		if !ok {
			err = errors.New("the poller of Go waits for this connection")
		} else {
			err = unix.EpollCtl(epoll, unix.EPOLL_CTL_ADD, int(socket.Fd()), &unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLET, Fd: int32(i)})
		}
		if err != nil {
			a.close()
			return nil, err
		}
	}
	return a, nil
}

// await takes the time at which each of the watchers can begin to read.
func (a *poller) await(watchers []*watcher) error {
	for _, w := range watchers {
		w.heard = time.Time{}
	}
	began := time.Now()
	for missing := len(watchers); missing > 0; time.Sleep(pollInterval) {
		n, err := unix.EpollWait(a.epoll, a.events, 0)
		if err != nil && err != unix.EINTR {
			return err
		}
		now := time.Now()
		if now.Sub(began) > grace {
			return fmt.Errorf("%d of %d watchers heard nothing in %v", missing, len(watchers), grace)
		}
		for _, e := range a.events[:max(n, 0)] {
			if w := watchers[e.Fd]; w.heard.IsZero() {
				w.heard = now
				missing--
			}
		}
	}
	return nil
}

func (a *poller) close() { _ = unix.Close(a.epoll) }

// blocking is a connection for which Go's poller does not wait, so that what comes
// wakes nobody. Who reads from it too early takes a thread.
type blocking struct {
	*os.File
	remote net.Addr
}

func dialBlocking(address string) (net.Conn, error) {
	at, err := netip.ParseAddrPort(address)
	if err != nil {
		return nil, err
	}
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	b := &blocking{os.NewFile(uintptr(fd), address), net.TCPAddrFromAddrPort(at)}
	err = unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: int64(grace.Seconds())})
	if err == nil {
		err = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1)
	}
	if err == nil {
		err = unix.Connect(fd, &unix.SockaddrInet4{Port: int(at.Port()), Addr: at.Addr().As4()})
	}
	if err != nil {
		b.Close()
		return nil, err
	}
	return b, nil
}

func (b *blocking) LocalAddr() net.Addr  { return nil } // nobody asks
func (b *blocking) RemoteAddr() net.Addr { return b.remote }

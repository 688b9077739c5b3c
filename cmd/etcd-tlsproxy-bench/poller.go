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

// poller records when each of many sockets becomes readable, without reading from it and
// without a wakeup for each. The clients of a real proxy run on other machines; here,
// thousands of clients that wake, read and decrypt on the proxy's own processors would
// dominate the measurement.
type poller struct {
	epoll  int
	events []unix.EpollEvent
}

// pollInterval is the resolution of the recorded times.
const pollInterval = time.Millisecond

// newPoller polls the sockets of watchers, which dialBlocking must have made.
func newPoller(watchers []*watcher) (*poller, error) {
	epoll, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, err
	}
	p := &poller{epoll: epoll, events: make([]unix.EpollEvent, len(watchers))}
	for i, w := range watchers {
		socket, ok := w.conn.NetConn().(*blockingConn)
		if !ok {
			err = errors.New("polling a connection that the Go runtime polls as well")
		} else {
			event := &unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLET, Fd: int32(i)}
			err = unix.EpollCtl(epoll, unix.EPOLL_CTL_ADD, int(socket.Fd()), event)
		}
		if err != nil {
			p.close()
			return nil, err
		}
	}
	return p, nil
}

// wait sets the arrival time of each watcher, and returns when all have one.
func (p *poller) wait(watchers []*watcher) error {
	for _, w := range watchers {
		w.arrived = time.Time{}
	}
	start := time.Now()
	for missing := len(watchers); missing > 0; time.Sleep(pollInterval) {
		n, err := unix.EpollWait(p.epoll, p.events, 0)
		if err != nil && !errors.Is(err, unix.EINTR) {
			return err
		}
		now := time.Now()
		if now.Sub(start) > grace {
			return fmt.Errorf("the event did not reach %d of %d watchers in %v", missing, len(watchers), grace)
		}
		for _, event := range p.events[:max(n, 0)] {
			if w := watchers[event.Fd]; w.arrived.IsZero() {
				w.arrived = now
				missing--
			}
		}
	}
	return nil
}

func (p *poller) close() { _ = unix.Close(p.epoll) }

// blockingConn is a connection that the Go runtime does not poll, so that arriving
// data wakes no goroutine. A Read before data arrives blocks a thread.
type blockingConn struct {
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
	c := &blockingConn{os.NewFile(uintptr(fd), address), net.TCPAddrFromAddrPort(at)}
	err = unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: int64(grace.Seconds())})
	if err == nil {
		err = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1)
	}
	if err == nil {
		err = unix.Connect(fd, &unix.SockaddrInet4{Port: int(at.Port()), Addr: at.Addr().As4()})
	}
	if err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

func (c *blockingConn) LocalAddr() net.Addr  { return nil } // net.Conn wants it; it is not used
func (c *blockingConn) RemoteAddr() net.Addr { return c.remote }

package main

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"fmt"
	"net"
	"strconv"
	"time"

	"etcd-tlsproxy/proxy/rawio"
)

// watcher is one client that watches.
type watcher struct {
	load    *watchLoad
	prefix  string
	conn    *tls.Conn
	in      *bufio.Reader
	arrived time.Time // when the last event reached it
}

func (w *watcher) connect(config *tls.Config) error {
	conn, err := w.dial()
	if err != nil {
		return err
	}
	w.conn = tls.Client(conn, config)
	w.in = bufio.NewReaderSize(w.conn, 4<<10)
	return w.watch()
}

func (w *watcher) dial() (net.Conn, error) {
	if !w.load.Reread {
		return dialBlocking(w.load.Address)
	}
	conn, err := (&net.Dialer{Timeout: grace}).Dial("tcp", w.load.Address)
	if err != nil {
		return nil, err
	}
	return rawio.New(conn, true), nil
}

// watch sends a watch and reads the head of its answer. Once the head is there, etcd
// has registered the watch.
func (w *watcher) watch() error {
	if w.load.Reread { // a blockingConn has its own limit
		if err := w.conn.SetDeadline(time.Now().Add(4 * grace)); err != nil {
			return err
		}
	}
	if _, err := w.conn.Write(getRequest("/v2/keys" + w.prefix + "?wait=true&recursive=true")); err != nil {
		return err
	}
	_, _, err := w.readHead()
	return err
}

// receive reads the event, and watches again.
func (w *watcher) receive() error {
	if err := w.discardBody(0, true); err != nil {
		return err
	}
	if w.load.Reread {
		w.arrived = time.Now()
		if err := w.readTree(); err != nil {
			return err
		}
	}
	return w.watch()
}

func (w *watcher) readTree() error {
	if _, err := w.conn.Write(getRequest("/v2/keys" + w.prefix + "/?recursive=true")); err != nil {
		return err
	}
	length, chunked, err := w.readHead()
	if err != nil {
		return err
	}
	return w.discardBody(length, chunked)
}

func (w *watcher) readHead() (length int, chunked bool, err error) {
	var head []byte
	for {
		line, err := w.in.ReadSlice('\n')
		if err != nil {
			return 0, false, err
		}
		if len(line) <= 2 {
			break
		}
		head = append(head, line...)
	}
	if !bytes.HasPrefix(head, []byte("HTTP/1.1 200 ")) {
		return 0, false, fmt.Errorf("got an answer that begins with %.20q, want status 200", head)
	}
	length, chunked = framing(head)
	return length, chunked, nil
}

// discardBody reads a body to its end, so that the connection can be used again.
func (w *watcher) discardBody(length int, chunked bool) error {
	if !chunked {
		_, err := w.in.Discard(length)
		return err
	}
	for {
		line, err := w.in.ReadSlice('\n')
		if err != nil {
			return err
		}
		size, err := strconv.ParseUint(string(bytes.TrimSuffix(line, []byte("\r\n"))), 16, 31)
		if err != nil {
			return fmt.Errorf("got %.20q, want the size of a chunk", line)
		}
		if _, err := w.in.Discard(int(size) + 2); err != nil {
			return err
		}
		if size == 0 {
			return nil
		}
	}
}

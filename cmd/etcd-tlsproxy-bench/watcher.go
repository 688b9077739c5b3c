package main

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"fmt"
	"net"
	"strings"
	"time"

	"etcd-tlsproxy/proxy/rawio"
)

// watcher is one client that watches.
type watcher struct {
	load   *watchLoad
	prefix string
	conn   *tls.Conn
	in     *bufio.Reader
	heard  time.Time
}

func (w *watcher) begin(config *tls.Config) error {
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
	return rawio.New(conn), nil
}

// watch sends a watch and reads the head of its answer, which tells that etcd
// watches.
func (w *watcher) watch() error {
	if w.load.Reread { // the others' sockets have a limit of their own
		if err := w.conn.SetDeadline(time.Now().Add(4 * grace)); err != nil {
			return err
		}
	}
	if _, err := w.conn.Write(getRequest("/v2/keys" + w.prefix + "?wait=true&recursive=true")); err != nil {
		return err
	}
	_, _, err := w.head()
	return err
}

// hear reads the event, and watches again.
func (w *watcher) hear() error {
	if err := w.body(0, true); err != nil {
		return err
	}
	if w.load.Reread {
		w.heard = time.Now()
		if err := w.read(); err != nil {
			return err
		}
	}
	return w.watch()
}

// read reads the tree.
func (w *watcher) read() error {
	if _, err := w.conn.Write(getRequest("/v2/keys" + w.prefix + "/?recursive=true")); err != nil {
		return err
	}
	length, chunked, err := w.head()
	if err != nil {
		return err
	}
	return w.body(length, chunked)
}

// head reads the head of an answer.
func (w *watcher) head() (length int, chunked bool, err error) {
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
		return 0, false, fmt.Errorf("an answer of %.20q", head)
	}
	length, chunked = framing(head)
	return length, chunked, nil
}

// body drops the body of an answer.
func (w *watcher) body(length int, chunked bool) error {
	if !chunked {
		_, err := w.in.Discard(length)
		return err
	}
	for {
		line, err := w.in.ReadSlice('\n')
		if err != nil {
			return err
		}
		size := 0
		for _, c := range bytes.TrimSuffix(line, []byte("\r\n")) {
			digit := strings.IndexByte("0123456789abcdef", c)
			if digit < 0 {
				return fmt.Errorf("a chunk of %.20q", line)
			}
			size = size<<4 | digit
		}
		if _, err := w.in.Discard(size + 2); err != nil {
			return err
		}
		if size == 0 {
			return nil
		}
	}
}

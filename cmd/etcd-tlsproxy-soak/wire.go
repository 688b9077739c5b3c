package main

import (
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"time"

	"etcd-tlsproxy/proxy/proxytest"
)

// wire speaks HTTP/1 byte by byte, and repeats nothing: what is lost shows.
type wire struct {
	addr    string
	config  *tls.Config
	version string     // 1.1 or 1.0
	pieces  *rand.Rand // set if it sends in pieces, with pauses
	conn    *proxytest.Raw
}

func (w *wire) close() {
	if w.conn != nil {
		_ = w.conn.Close()
		w.conn = nil
	}
}

func (w *wire) ask(ctx context.Context, r *request) (got *answer, err error) {
	if err := w.connect(); err != nil {
		return nil, err
	}
	c := w.conn
	if err := c.SetDeadline(time.Time{}); err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { _ = c.SetDeadline(time.Unix(1, 0)) })
	defer func() {
		// If ctx ended at the same time its deadline can come at any time now.
		if !stop() || err != nil {
			w.close()
		}
	}()
	if err := w.send(w.text(r)); err != nil {
		return nil, fmt.Errorf("sending: %w", err)
	}
	return w.receive(r)
}

func (w *wire) connect() error {
	if w.conn != nil {
		return nil
	}
	c, err := proxytest.DialRaw(w.addr, w.config)
	if err != nil {
		return fmt.Errorf("connecting: %w", err)
	}
	w.conn = c
	return nil
}

// receive reads one answer.
func (w *wire) receive(r *request) (*answer, error) {
	a, err := w.conn.Head()
	if err != nil {
		return nil, fmt.Errorf("reading a head: %w", err)
	}
	if err := w.conn.ReadBody(a, r.method); err != nil || !a.Whole {
		return nil, fmt.Errorf("%w: %d and %d bytes, %v", errBrokenOff, a.Status, len(a.Body), err)
	}
	if w.version == "1.0" && a.Body == "" && r.method == "GET" {
		return nil, fmt.Errorf("%w: %d and nothing", errBrokenOff, a.Status) // there is no other way to say so
	}
	got := &answer{status: a.Status, body: a.Body}
	if text, ok := a.Field("X-Etcd-Index"); ok {
		if got.index, err = strconv.ParseUint(text, 10, 64); err != nil {
			return nil, fmt.Errorf("an index of %q", text)
		}
	}
	closes, _ := a.Field("Connection")
	switch {
	case w.version == "1.0":
		if end := w.conn.End(); end != proxytest.EndedWell {
			return nil, errors.New("an HTTP/1.0 connection ends with " + end)
		}
		w.close()
	case closes == "close" && a.Status < 500 && a.Status != 400:
		return nil, fmt.Errorf("%d closes the connection", a.Status)
	case closes == "close":
		w.close()
	}
	return got, nil
}

// text is a request as it is sent.
func (w *wire) text(r *request) string {
	text := fmt.Sprintf("%s %s HTTP/%s\r\nHost: localhost\r\n", r.method, r.path(), w.version)
	if r.user != "" {
		text += "Authorization: Basic " + base64.StdEncoding.EncodeToString([]byte(r.user+":"+r.password())) + "\r\n"
	}
	if r.method == "PUT" || r.method == "POST" || r.form != "" {
		text += fmt.Sprintf("Content-Type: application/x-www-form-urlencoded\r\nContent-Length: %d\r\n", len(r.form))
	}
	return text + "\r\n" + r.form
}

func (w *wire) send(text string) error {
	if w.pieces != nil {
		for range w.pieces.IntN(6) {
			if len(text) < 2 {
				break
			}
			cut := 1 + w.pieces.IntN(len(text)-1)
			if err := w.conn.Send(text[:cut]); err != nil {
				return err
			}
			text = text[cut:]
			time.Sleep(time.Duration(w.pieces.IntN(30)) * time.Millisecond)
		}
	}
	return w.conn.Send(text)
}

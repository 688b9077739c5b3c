package main

import (
	"bytes"
	"context"
	"fmt"
	"net"

	"github.com/spf13/cobra"
)

// newNullCommand returns an upstream that answers at once, so that only the proxy's own
// cost is measured.
func newNullCommand() *cobra.Command {
	return &cobra.Command{
		Use: "null-upstream", Hidden: true, Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ln, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				return err
			}
			// main catches signals, so this command has to end with its context.
			context.AfterFunc(cmd.Context(), func() { _ = ln.Close() })
			fmt.Fprintln(cmd.OutOrStdout(), ln.Addr())
			for {
				c, err := ln.Accept()
				if cmd.Context().Err() != nil {
					return nil
				}
				if err != nil {
					return err
				}
				go serveNull(c)
			}
		},
	}
}

const (
	nullBody = `{"action":"get","node":{"key":"/conftool/v1/a","value":"1","modifiedIndex":12345,"createdIndex":1}}`
	nullHead = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nX-Etcd-Cluster-Id: cdf818194e3a8c32\r\nX-Etcd-Index: 123456\r\n" +
		"X-Raft-Index: 234567\r\nX-Raft-Term: 7\r\nDate: Mon, 02 Jan 2006 15:04:05 GMT\r\n"
)

// serveNull gives every request the same answer. It understands only the requests of this
// benchmark: they are not pipelined, and a form follows its head in one piece.
func serveNull(c net.Conn) {
	defer c.Close()
	rest := fmt.Sprintf("Content-Length: %d\r\n\r\n%s", len(nullBody), nullBody)
	keep, last := []byte(nullHead+rest), []byte(nullHead+"Connection: close\r\n"+rest)
	buf := make([]byte, 0, 16<<10)
	for {
		n, err := c.Read(buf[len(buf):cap(buf)])
		if err != nil {
			return
		}
		buf = buf[:len(buf)+n]
		head, form, ok := bytes.Cut(buf, []byte("\r\n\r\n"))
		if !ok {
			continue
		}
		if bytes.HasPrefix(head, []byte("PUT")) && len(form) == 0 {
			continue // nginx and HAProxy may send the form in a separate packet
		}
		answer := keep
		closes := bytes.Contains(head, []byte(" HTTP/1.0")) || bytes.Contains(head, []byte("onnection: close"))
		if closes {
			answer = last
		}
		if _, err := c.Write(answer); err != nil || closes {
			return
		}
		buf = buf[:0]
	}
}

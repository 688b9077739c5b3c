package proxy_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"etcd-tlsproxy/proxy/proxytest/fronttest"
)

// frames is a hostile HTTP/2 request: its fields in order, and its body.
type frames struct {
	name   string
	fields []string // name and value, separated by a line feed
	body   string
	passes int
}

// http2Attacks returns requests whose fields would be other messages in HTTP/1.
// Sources: James Kettle, HTTP/2: The Sequel is Always Worse (2021); RFC 9113 8.2, 8.3.
func http2Attacks() []frames {
	field := func(name, value string) string { return name + "\n" + value }
	base := func(method, path string, more ...string) []string {
		return append([]string{field(":method", method), field(":scheme", "https"), field(":path", path), field(":authority", "h")}, more...)
	}
	const open = "/v2/keys/eventlogging/x"
	list := []frames{
		{"an honest write", base("PUT", open), "value=1", 1},
		{"a write without a right", base("PUT", "/v2/keys/conftool/x"), "value=1", 0},
		{"a length that is too short", base("PUT", open, field("content-length", "0")), hidden, 0},
		{"a length that is too long", base("PUT", open, field("content-length", "500")), hidden, 0},
		{"two lengths", base("PUT", open, field("content-length", "7"), field("content-length", "0")), "value=1", 0},
		{"a length of no digits", base("PUT", open, field("content-length", "+7")), "value=1", 0},
		{"a coding", base("PUT", open, field("transfer-encoding", "chunked")), inChunks, 0},
		{"a coding in capitals", base("PUT", open, field("Transfer-Encoding", "chunked")), inChunks, 0},
		{"a connection", base("PUT", open, field("connection", "transfer-encoding")), "value=1", 0},
		{"an upgrade", base("PUT", open, field("upgrade", "h2c")), "", 0},
		{"a body that is a request", base("PUT", open), hidden, 1},
		{"a line end in a value", base("PUT", open, field("x", "y\r\nTransfer-Encoding: chunked")), "", 0},
		{"a line end in a name", base("PUT", open, field("x: y\r\nTransfer-Encoding", "chunked")), "", 0},
		{"a colon in a name", base("PUT", open, field("transfer-encoding: chunked", "x")), "", 0},
		{"a NUL in a value", base("PUT", open, field("x", "y\x00z")), "", 0},
		{"a request in the path", base("PUT", open+" HTTP/1.1\r\nHost: h\r\n\r\n"+hidden), "", 0},
		{"a request in the method", base("PUT "+smuggled+" HTTP/1.1\r\nHost: h\r\n\r\nGET", open), "", 0},
		{"a request in the authority", []string{field(":method", "PUT"), field(":scheme", "https"), field(":path", open), field(":authority", "h\r\n\r\n"+hidden)}, "", 0},
		{"a request in the scheme", []string{field(":method", "PUT"), field(":scheme", "https://h"+smuggled+"?"), field(":path", open), field(":authority", "h")}, "", 0},
		{"two paths", base("PUT", open, field(":path", "/v2/keys/conftool/x")), "", 0},
		{"two methods", base("GET", open, field(":method", "PUT")), "", 0},
		{"a path behind the fields", []string{field(":method", "PUT"), field(":scheme", "https"), field(":authority", "h"), field("x", "y"), field(":path", open)}, "", 0},
		{"no path", []string{field(":method", "PUT"), field(":scheme", "https"), field(":authority", "h")}, "", 0},
		{"an empty path", base("PUT", ""), "", 0},
		{"a path without a slash", base("PUT", "v2/keys/eventlogging/x"), "", 0},
		{"an absolute path", base("PUT", "https://h/v2/keys/conftool/x"), "", 0},
		{"an unknown pseudo field", base("PUT", open, field(":protocol", "websocket")), "", 0},
		{"extended CONNECT", base("CONNECT", "/v3/watch", field(":protocol", "websocket")), "", 0},
		{"CONNECT", []string{field(":method", "CONNECT"), field(":authority", "127.0.0.1:2379")}, "", 0},
		{"a v3 call", base("POST", "/etcdserverpb.KV/Put", field("content-type", "application/grpc"), field("te", "trailers")), "\x00\x00\x00\x00\x00", 0},
		{"te that is not trailers", base("PUT", open, field("te", "chunked")), "", 0},
		{"two Authorizations", base("PUT", "/v2/keys/conftool/x", field("authorization", fronttest.Basic("conftool")), field("authorization", fronttest.Basic("root"))), "", 0},
		{"a field with an underscore", base("PUT", "/v2/keys/conftool/x", field("authorization_", fronttest.Basic("conftool"))), "", 0},
		{"another user's fields", base("PUT", "/v2/keys/conftool/x", field("x-forwarded-user", "root"), field("x-real-ip", "127.0.0.1")), "", 0},
		{"a host besides the authority", base("PUT", open, field("host", "evil")), "", 0},
		{"a host that repeats the authority", base("PUT", open, field("host", "h")), "", 1},
		{"cookies in pieces", base("PUT", open, field("cookie", "a=b"), field("cookie", "c=d")), "", 1},
		{"a field of 40,000", base("PUT", open, field("x", strings.Repeat("x", 40_000))), "", 0},
		{"a path of 5,000", base("PUT", "/v2/keys/eventlogging/"+strings.Repeat("x", 5000)), "", 0},
	}
	for _, climb := range climbs {
		list = append(list, frames{"climbing with " + fmt.Sprintf("%q", climb), base("PUT", "/v2/keys/eventlogging/"+climb+"conftool/x"), "value=1", 0})
	}
	return list
}

func TestNoAttackOverHTTP2GetsPastTheGate(t *testing.T) {
	fronttest.EachLane(t, func(t *testing.T, l fronttest.Lane) {
		r := newRecorder(t)
		f := l.FrontWith(t, r.url, idle(attackPatience()), underAttack)
		for _, a := range http2Attacks() {
			text := strings.Join(a.fields, " ")
			r.start(text)
			launchHTTP2(t, f, &a)
			for _, wrong := range r.stop(a.passes) {
				t.Errorf("%s: %s\n%.300q", a.name, wrong, text)
			}
		}
	})
}

// launchHTTP2 sends one request and waits for the end of its stream or connection.
func launchHTTP2(t *testing.T, f *fronttest.Front, a *frames) {
	t.Helper()
	var fields []hpack.HeaderField
	for _, field := range a.fields {
		name, value, _ := strings.Cut(field, "\n")
		if strings.HasPrefix(field, "x: y\r") { // the only field name that contains a line end
			name, value = "x: y\r\nTransfer-Encoding", "chunked"
		}
		fields = append(fields, hpack.HeaderField{Name: name, Value: value})
	}
	exchangeHTTP2(t, f, fields, a.body)
}

// exchangeHTTP2 sends one request as it is, and returns the status and the body of the answer.
// The status is 0 if there is none.
func exchangeHTTP2(t *testing.T, f *fronttest.Front, fields []hpack.HeaderField, body string) (status int, answer string) {
	t.Helper()
	c := dialHTTP2(t, f)
	defer c.Close()
	var head bytes.Buffer
	encoder := hpack.NewEncoder(&head)
	for _, field := range fields {
		if err := encoder.WriteField(field); err != nil {
			t.Fatal(err)
		}
	}
	framer := http2.NewFramer(c, c)
	framer.AllowIllegalWrites = true
	framer.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	_, err := io.WriteString(c, http2.ClientPreface)
	err = errors.Join(err, framer.WriteSettings())
	block := head.Bytes()
	first := block[:min(len(block), 16_000)]
	err = errors.Join(err, framer.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: first, EndStream: body == "", EndHeaders: len(first) == len(block)}))
	for block = block[len(first):]; len(block) > 0 && err == nil; {
		part := block[:min(len(block), 16_000)]
		block = block[len(part):]
		err = framer.WriteContinuation(1, len(block) == 0, part)
	}
	if body != "" {
		err = errors.Join(err, framer.WriteData(1, true, []byte(body)))
	}
	for err == nil {
		var frame http2.Frame
		frame, err = framer.ReadFrame()
		switch frame := frame.(type) {
		case *http2.RSTStreamFrame, *http2.GoAwayFrame:
			return status, answer
		case *http2.MetaHeadersFrame:
			if status, err = strconv.Atoi(frame.PseudoValue("status")); err != nil || frame.StreamEnded() {
				return status, answer
			}
		case *http2.DataFrame:
			answer += string(frame.Data())
			if frame.StreamEnded() {
				return status, answer
			}
		}
	}
	return status, answer
}

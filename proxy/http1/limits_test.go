package http1

import (
	"errors"
	"strings"
	"testing"
)

func TestTheLimitOfAHeadIsExact(t *testing.T) {
	const start, end = "GET / HTTP/1.1\r\nHost: h\r\nA: ", "\r\n\r\n"
	for limit, bytes := range map[int]int{0: 32 << 10, 100: 100} {
		for size, want := range map[int]error{bytes - 1: nil, bytes: nil, bytes + 1: errHeadSize} {
			head := start + strings.Repeat("x", size-len(start)-len(end)) + end
			var r Request
			n, err := r.Parse([]byte(head), Limits{Head: limit})
			if want == nil && (err != nil || n != size) || want != nil && (!errors.Is(err, want) || n != 0) {
				t.Errorf("a head of %d bytes with the limit %d: got %d, %v; want the whole head or 0, %v", size, bytes, n, err, want)
			}
		}
		unfinished := strings.Repeat("x", bytes)
		var r Request
		if n, err := r.Parse([]byte(unfinished[1:]), Limits{Head: limit}); n != 0 || err != nil {
			t.Errorf("%d bytes without an end with the limit %d: got %d, %v; want 0, none", bytes-1, bytes, n, err)
		}
		if n, err := r.Parse([]byte(unfinished), Limits{Head: limit}); n != 0 || !errors.Is(err, errHeadSize) {
			t.Errorf("%d bytes without an end with the same limit: got %d, %v; want 0, %v", bytes, n, err, errHeadSize)
		}
	}
	for fields, want := range map[int]error{99: nil, 100: errFieldCount} { // and the Host
		var r Request
		if _, err := r.Parse([]byte("GET / HTTP/1.1\r\nHost: h\r\n"+strings.Repeat("A: b\r\n", fields)+"\r\n"), Limits{}); want == nil && err != nil || want != nil && !errors.Is(err, want) {
			t.Errorf("a head of %d fields: got the error %v, want %v", fields+1, err, want)
		}
	}
}

func TestEachMistakeInAFieldHasItsReason(t *testing.T) {
	for field, want := range map[string]*Error{
		" a: b": errFolded, "\ta: b": errFolded, ": b": errFieldName, "a : b": errFieldName, "a\t: b": errFieldName, "(a: b": errFieldName, "a(: b": errFieldName,
		"a": errNoColon, "a: b\x00": errControl,
	} {
		_, err := parseRequest(t, "GET / HTTP/1.1\r\nHost: h\r\n"+field+"\r\n\r\n")
		if err != want {
			t.Errorf("the field %q: got the error %v, want %v", field, err, want)
		}
	}
}

func TestALengthIsSentWheneverThereIsOne(t *testing.T) {
	for length, want := range map[int64]string{-1: "", 0: "Content-Length: 0\r\n", 1: "Content-Length: 1\r\n", 1234: "Content-Length: 1234\r\n"} {
		got := string(AppendRequest(nil, &Outgoing{Method: "PUT", Target: "/a", Host: "h", Length: length}))
		if want := "PUT /a HTTP/1.1\r\nHost: h\r\n" + want + "\r\n"; got != want {
			t.Errorf("a request with the length %d: got %q, want %q", length, got, want)
		}
	}
}

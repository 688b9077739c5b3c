package http1

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
)

// follow feeds a stream in pieces and returns the bytes that were passed on.
func follow(f *Follower, stream []byte, size int) (shown []byte, err error) {
	var held []byte
	for len(stream) > 0 {
		size := min(size, len(stream))
		held, stream = append(held, stream[:size]...), stream[size:]
		n, err := f.Feed(held)
		shown, held = append(shown, held[:n]...), held[n:]
		if err != nil {
			return shown, err
		}
	}
	for { // an error is returned after all bytes before it were passed on
		n, err := f.Feed(held)
		shown, held = append(shown, held[:n]...), held[n:]
		if n == 0 || err != nil {
			return shown, err
		}
	}
}

const (
	putFive    = "PUT /a HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nvalue"
	postChunks = "POST /b HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nvalue\r\n0\r\n\r\n"
	getNothing = "GET /c HTTP/1.1\r\nHost: h\r\n\r\n"
)

func TestOnlyWholeGoodMessagesAreShown(t *testing.T) {
	good := putFive + postChunks + getNothing
	for _, bad := range []string{
		"", "GET / HTTP/1.1\r\n", // an incomplete message
		"GET / HTTP/1.1\nHost: h\r\n\r\n",
		"PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n",
	} {
		for _, size := range []int{1, 2, 7, 50, 10000} {
			shown, err := follow(&Follower{}, []byte(good+bad), size)
			if string(shown) != good || (err != nil) != (len(bad) > 20) {
				t.Errorf("good messages and %q in pieces of %d bytes: got %q passed on, error %v, want %q, error %v", bad, size, shown, err, good, len(bad) > 20)
			}
		}
	}
	for _, size := range []int{1, 10000} {
		const head = "POST /b HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
		shown, err := follow(&Follower{}, []byte(head+"5\r\nvalue\r\n0;x\r\n\r\n"), size)
		if err == nil || !strings.HasPrefix(string(shown), head) || strings.Contains(string(shown), ";") {
			t.Errorf("a malformed chunk in pieces of %d bytes: got %q passed on, error %v, want the head without the malformed chunk, and an error", size, shown, err)
		}
	}
}

func TestACheckCanRefuseAHead(t *testing.T) {
	refuse := &Error{400, "no"}
	f := Follower{Check: func(r *Request) *Error {
		if r.Target == "/c" {
			return refuse
		}
		return nil
	}}
	if shown, err := follow(&f, []byte(putFive+getNothing), 3); string(shown) != putFive || !errors.Is(err, refuse) {
		t.Errorf("two messages, the second refused by Check: got %q passed on, error %v, want %q, %v", shown, err, putFive, refuse)
	}
}

func TestAFollowerKnowsWhenItIsInABody(t *testing.T) {
	var f Follower
	for i, want := range map[int]bool{3: false, len(putFive) - 3: true, len(putFive): false} {
		f = Follower{}
		if _, err := follow(&f, []byte(putFive[:i]), 1000); err != nil || f.InBody() != want {
			t.Errorf("after %d bytes: got InBody %v, error %v, want %v, nil", i, f.InBody(), err, want)
		}
	}
}

func TestTheServerDoesNotSeeWhatTheFollowerActsOn(t *testing.T) {
	for head, want := range map[string]string{
		"PUT / HTTP/1.1\r\nHost: h\r\nexpect: 100-Continue\r\nExpect: 100-continue\r\nA: b\r\n\r\n": "PUT / HTTP/1.1\r\nHost: h\r\nexpect:             \r\nExpect:             \r\nA: b\r\n\r\n",
		"PUT / HTTP/1.0\r\nExpect:100-continue, x\r\nTrailer: Content-Length\r\n\r\n":               "PUT / HTTP/1.0\r\nExpect:               \r\nTrailer:               \r\n\r\n",
	} {
		shown, err := follow(&Follower{}, []byte(head), 1)
		if string(shown) != want || err != nil {
			t.Errorf("following %q: got %q, %v; want %q", head, shown, err, want)
		}
	}
}

func TestTheFramingOfAChunkIsShownWhole(t *testing.T) {
	const start, end = "PUT / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nvalue", "\r\n0\r\nA: b\r\n\r\n"
	whole := start + end
	for i := len(start); i < len(whole); i++ {
		if shown, err := follow(&Follower{}, []byte(whole[:i]), 1); string(shown) != start || err != nil {
			t.Errorf("without the last %d bytes: got %q, %v; want %q", len(whole)-i, shown, err, start)
		}
	}
	if shown, err := follow(&Follower{}, []byte(start+"\r\n0\r\nA: b\x00\r\n\r\n"), 1); err == nil || string(shown) != start {
		t.Errorf("with a malformed trailer: got %q, %v; want an error behind %q", shown, err, start)
	}
	if shown, err := follow(&Follower{}, []byte(whole), 1); string(shown) != whole || err != nil {
		t.Errorf("as a whole: got %q, %v; want all of it", shown, err)
	}
}

// FuzzFollower checks that net/http reads the same messages in the bytes that are passed on.
func FuzzFollower(f *testing.F) {
	f.Add([]byte(putFive+postChunks+getNothing), 10)
	f.Add([]byte(getNothing+"GET / HTTP/1.0\r\n\r\nx"), 1)
	f.Add([]byte("PUT / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\nA: b\r\n\r\n"), 3)
	f.Add([]byte("PUT / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n"), 1)
	f.Fuzz(func(t *testing.T, stream []byte, size int) {
		var targets []string
		note := func(r *Request) *Error {
			if !strings.HasPrefix(r.Target, "/") || strings.ContainsAny(r.Target, "%#?:") {
				return &Error{400, "net/http may not read it"}
			}
			targets = append(targets, strings.Clone(r.Method+" "+r.Target))
			return nil
		}
		shown, err := follow(&Follower{Check: note}, stream, min(max(size, 1), 1000))
		first := targets
		targets = nil
		again, err2 := follow(&Follower{Check: note}, stream, len(stream)+1)
		// Before an error in a body, a larger or smaller part of the body can be passed on.
		same := bytes.Equal(shown, again) || err != nil && (bytes.HasPrefix(shown, again) || bytes.HasPrefix(again, shown))
		if !same || (err == nil) != (err2 == nil) {
			t.Fatalf("following %q: got %q, %v in pieces, but %q, %v at once, want the same", stream, shown, err, again, err2)
		}
		r := bufio.NewReader(bytes.NewReader(shown))
		for i, want := range first {
			got, err := http.ReadRequest(r)
			if err != nil || got.Method+" "+got.RequestURI != want {
				t.Fatalf("net/http reading message %d of %q: got error %v or another request, want %q", i, shown, err, want)
			}
			if _, err := io.Copy(io.Discard, got.Body); err != nil {
				if i == len(first)-1 {
					return // its body is incomplete
				}
				t.Fatalf("net/http reading body %d of %q: got error %v, want none", i, shown, err)
			}
		}
		if rest, _ := io.ReadAll(r); len(rest) > 0 {
			t.Fatalf("net/http reading %q: got %q behind the last message, want nothing", shown, rest)
		}
	})
}

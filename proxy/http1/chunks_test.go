package http1

import (
	"bytes"
	"io"
	"net/http/httputil"
	"testing"
)

// decode feeds body in pieces of the given size.
func decode(c *Chunks, body []byte, size int) (data []byte, n int, err error) {
	for n < len(body) && !c.Done() {
		piece, taken, err := c.Next(body[n:min(n+size, len(body))])
		data = append(data, piece...)
		n += taken
		if err != nil {
			return data, n, err
		}
	}
	return data, n, nil
}

func TestChunksThatAreRefused(t *testing.T) {
	for what, body := range map[string]string{
		"a bare line feed":          "3\nabc\r\n0\r\n\r\n",
		"no digits":                 "\r\nabc\r\n",
		"a prefix of hexadecimal":   "0x3\r\nabc\r\n0\r\n\r\n",
		"a sign":                    "+3\r\nabc\r\n0\r\n\r\n",
		"a blank behind the size":   "3 \r\nabc\r\n0\r\n\r\n",
		"an extension":              "3;a=b\r\nabc\r\n0\r\n\r\n",
		"a size that overflows":     "ffffffffffffffff\r\n",
		"data longer than its size": "3\r\nabcd\r\n0\r\n\r\n",
		"a trailer without a name":  "0\r\n: 3\r\n\r\n",
		"a trailer without a colon": "0\r\nA\r\n\r\n",
		"a folded trailer":          "0\r\nA: b\r\n c\r\n\r\n",
		"a blank before the colon":  "0\r\nA : b\r\n\r\n",
		"a NUL in a trailer":        "0\r\nA: \x00\r\n\r\n",
		"a trailer with a bare LF":  "0\r\nA: b\n\r\n",
	} {
		for _, size := range []int{1, 1000} {
			if data, _, err := decode(&Chunks{}, []byte(body), size); err == nil {
				t.Errorf("decoding %s in pieces of %d bytes: got data %q and no error, want an error", what, size, data)
			}
		}
	}
}

func TestTrailersAreDropped(t *testing.T) {
	body := "3\r\nabc\r\n0\r\nGrpc-Trailer-Content-Type: application/grpc\r\nContent-Length: 7\r\n\r\nrest"
	for _, size := range []int{1, 7, 1000} {
		c := Chunks{}
		if data, n, err := decode(&c, []byte(body), size); string(data) != "abc" || n != len(body)-4 || err != nil || !c.Done() {
			t.Errorf("dropping trailers in pieces of %d bytes: got data %q, %d bytes read, error %v, done %v, want data abc, %d bytes read, no error, done", size, data, n, err, c.Done(), len(body)-4)
		}
	}
	endless := append([]byte("0\r\n"), bytes.Repeat([]byte("A: b\r\n"), 1000)...)
	if _, _, err := decode(&Chunks{}, endless, 1000); err == nil {
		t.Error("decoding endless trailers: got no error, want one")
	}
}

// TestWhatIsLeftIsThatOfAChunkWhoseSizeIsComplete looks after each byte.
func TestWhatIsLeftIsThatOfAChunkWhoseSizeIsComplete(t *testing.T) {
	const body = "11\r\nabcdefghijklmnopq\r\n2\r\nrs\r\n0\r\n\r\n"
	want := []int64{0, 0, 0, 17, 16, 15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0, 0, 0, 0, 0, 2, 1, 0, 0, 0, 0, 0, 0, 0, 0}
	c := Chunks{}
	for i := range len(body) {
		if _, _, err := c.Next([]byte(body[i : i+1])); err != nil {
			t.Fatal(err)
		}
		if c.Left() != want[i] {
			t.Errorf("bytes of the chunk that are left behind %q: got %d, want %d", body[:i+1], c.Left(), want[i])
		}
	}
}

func FuzzChunks(f *testing.F) {
	f.Add([]byte("3\r\nabc\r\n00A\r\n0123456789\r\n0\r\n\r\nrest"), 1)
	f.Add([]byte("0\r\n\r\n"), 2)
	f.Add([]byte("1\r\na\r\n0\r\nA: b\r\nC:\r\n\r\n"), 3)
	f.Fuzz(func(t *testing.T, body []byte, size int) {
		var whole, split Chunks
		data, n, err := decode(&whole, body, len(body)+1)
		again, m, err2 := decode(&split, body, min(max(size, 1), 1000))
		if !bytes.Equal(data, again) || n != m || (err == nil) != (err2 == nil) {
			t.Fatalf("decoding %q: got %q, %d, %v at once, but %q, %d, %v in pieces, want the same", body, data, n, err, again, m, err2)
		}
		if !whole.Done() {
			return
		}
		want, err := io.ReadAll(httputil.NewChunkedReader(bytes.NewReader(body[:n])))
		if err != nil || !bytes.Equal(want, data) {
			t.Fatalf("decoding %q: got %q, want what net/http reads: %q, %v", body[:n], data, want, err)
		}
	})
}

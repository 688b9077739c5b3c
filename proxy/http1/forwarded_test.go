package http1

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
)

// response parses the head of an answer to a GET.
func response(head string) (*Response, error) {
	var r Response
	_, err := r.Parse([]byte(head), "GET", Limits{})
	return &r, err
}

func TestFieldsThatConnectionNamesAreNotPassedOn(t *testing.T) {
	for connection, want := range map[string][]string{
		"X-Secret":                          {"X-Etcd-Index", "X-Other"},
		"x-secret":                          {"X-Etcd-Index", "X-Other"},
		"close, X-SECRET":                   {"X-Etcd-Index", "X-Other"},
		"X-Other,X-Secret":                  {"X-Etcd-Index"},
		"X-Other ,\tX-Secret":               {"X-Etcd-Index"},
		"X-Other\t,X-Secret":                {"X-Etcd-Index"},
		"X-Etcd-Index\r\nconnection: x-new": {"X-Other", "X-Secret"},
		"keep-alive\r\nConnection: X-Other": {"X-Etcd-Index", "X-Secret"},
		"keep-alive":                        {"X-Etcd-Index", "X-Other", "X-Secret"},
		"close":                             {"X-Etcd-Index", "X-Other", "X-Secret"},
		"X-Sec":                             {"X-Etcd-Index", "X-Other", "X-Secret"},
	} {
		r, err := response("HTTP/1.1 200 OK\r\nX-Etcd-Index: 7\r\nX-Other: 1\r\nX-Secret: 2\r\nConnection: " + connection + "\r\nContent-Length: 0\r\n\r\n")
		if err != nil {
			t.Errorf("Connection: %q: got the error %v, want none", connection, err)
			continue
		}
		var got []string
		for _, f := range r.Fields {
			if strings.HasPrefix(f.Name, "X-") {
				got = append(got, f.Name)
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("Connection: %q: got the fields %q, want %q", connection, got, want)
		}
	}
}

func TestAResponseWithMoreFieldsThanAllowedIsRefused(t *testing.T) {
	for limit, name := range map[int]string{0: "the default limit", 3: "a limit of 3"} {
		limits := Limits{Fields: limit}
		for fields, want := range map[int]error{limits.fields(): nil, limits.fields() + 1: errFieldCount} {
			var r Response
			head := "HTTP/1.1 204 No Content\r\n" + strings.Repeat("A: b\r\n", fields) + "\r\n"
			if _, err := r.Parse([]byte(head), "GET", limits); !errors.Is(err, want) && (want != nil || err != nil) {
				t.Errorf("%d fields with %s: got the error %v, want %v", fields, name, err, want)
			}
		}
	}
}

func TestAResponseIsParsedAfterOneThatWasRefused(t *testing.T) {
	var r Response
	if _, err := r.Parse([]byte("HTTP/1.1 abc A long reason that moves the place\r\nA: b\r\n\r\n"), "GET", Limits{}); err == nil {
		t.Fatal("a status of letters: got no error")
	}
	const head = "HTTP/1.1 204 x\r\n\r\n"
	if n, err := r.Parse([]byte(head), "GET", Limits{}); n != len(head) || err != nil || r.Status != 204 {
		t.Errorf("the next response: got %d bytes, status %d, %v; want %d, 204, none", n, r.Status, err, len(head))
	}
	var q Request
	if _, err := q.Parse([]byte("GET / HTTP/1.7\r\nHost: a-long-name\r\n\r\n"), Limits{}); err == nil {
		t.Fatal("HTTP/1.7: got no error")
	}
	const request = "GET / HTTP/1.0\r\n\r\n"
	if n, err := q.Parse([]byte(request), Limits{}); n != len(request) || err != nil || q.Method != "GET" {
		t.Errorf("the next request: got %d bytes, method %q, %v; want %d, GET, none", n, q.Method, err, len(request))
	}
}

func TestStatusLinesAtTheirEdges(t *testing.T) {
	for line, want := range map[string]error{
		"HTTP/1.1 100":           nil,
		"HTTP/1.1 599 x":         nil,
		"HTTP/1.1 200 a\tb":      nil,
		"HTTP/1.1 600 x":         errStatusLine,
		"HTTP/1.1 099 x":         errStatusLine,
		"HTTP/1.1 ":              errStatusLine,
		"HTTP/1.1 2":             errStatusLine,
		"HTTP/1.1 20":            errStatusLine,
		"HTTP/1.1 200x":          errStatusLine,
		"HTTP/1.1 2:0 x":         errStatusLine,
		"HTTP/1.1 200 a\x7fb":    errStatusLine,
		"HTTP/1.1 200 a\x1fb":    errStatusLine,
		"HTTP/1.1 101 Switching": errSwitched,
		"HTTP/1.0 101":           errSwitched,
	} {
		if _, err := response(line + "\r\nContent-Length: 0\r\n\r\n"); !errors.Is(err, want) && (want != nil || err != nil) {
			t.Errorf("%q: got the error %v, want %v", line, err, want)
		}
	}
}

// everyByte puts each byte into a text in the place of its X, and returns those that pass.
func everyByte(text string, passes func(text string) bool) (passed string) {
	for b := range 256 {
		if passes(strings.Replace(text, "X", string([]byte{byte(b)}), 1)) {
			passed += string([]byte{byte(b)})
		}
	}
	return passed
}

const (
	digits  = "0123456789"
	letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz" // in the order of their bytes
)

func sorted(text string) string {
	b := []byte(text)
	slices.Sort(b)
	return string(b)
}

func TestTheBytesOfMethodsHostsAndTargets(t *testing.T) {
	passes := func(text string) bool {
		var r Request
		n, err := r.Parse([]byte(text), Limits{})
		return err == nil && n == len(text)
	}
	token := sorted("!#$%&'*+-.^`|~" + digits + letters)
	host := sorted(".-:[]" + digits + letters)
	target := ""
	for b := 0x21; b < 256; b++ {
		if b != 0x7f {
			target += string([]byte{byte(b)})
		}
	}
	value := "\t" + " " + target
	for what, c := range map[string]struct{ text, want string }{
		"the first byte of a method":  {"XET / HTTP/1.1\r\nHost: h\r\n\r\n", token},
		"the middle byte of a method": {"GXT / HTTP/1.1\r\nHost: h\r\n\r\n", token},
		"the last byte of a method":   {"GEX / HTTP/1.1\r\nHost: h\r\n\r\n", token},
		"a method of one byte":        {"X / HTTP/1.1\r\nHost: h\r\n\r\n", token},
		"the first byte of a host":    {"GET / HTTP/1.1\r\nHost:Xost\r\n\r\n", sorted(host + " \t")}, // blanks around a value are not of it
		"the middle byte of a host":   {"GET / HTTP/1.1\r\nHost: hXst\r\n\r\n", host},
		"the last byte of a host":     {"GET / HTTP/1.1\r\nHost: hosX\r\n\r\n", sorted(host + " \t")},
		"the first byte of a target":  {"GET X/ HTTP/1.1\r\nHost: h\r\n\r\n", target},
		"the middle byte of a target": {"GET /Xa HTTP/1.1\r\nHost: h\r\n\r\n", target},
		"the last byte of a target":   {"GET /aX HTTP/1.1\r\nHost: h\r\n\r\n", target},
		"a byte of a value":           {"GET / HTTP/1.1\r\nHost: h\r\nA: aXb\r\n\r\n", value},
		"the first byte of a name":    {"GET / HTTP/1.1\r\nHost: h\r\nXa: b\r\n\r\n", token},
		"the last byte of a name":     {"GET / HTTP/1.1\r\nHost: h\r\naX: b\r\n\r\n", sorted(token + ":")}, // the value is ": b"
		"the first byte of an option": {"GET / HTTP/1.1\r\nHost: h\r\nConnection: Xa\r\n\r\n", sorted(token + " \t,")},
		"the last byte of an option":  {"GET / HTTP/1.1\r\nHost: h\r\nConnection: aX\r\n\r\n", sorted(token + " \t,")},
	} {
		if got := everyByte(c.text, passes); got != c.want {
			t.Errorf("%s: got %q accepted, want %q", what, got, c.want)
		}
	}
}

func TestTheBytesOfLengthsVersionsAndStatuses(t *testing.T) {
	request := func(text string) bool {
		var r Request
		n, err := r.Parse([]byte(text), Limits{})
		return err == nil && n == len(text)
	}
	for place, text := range map[string]string{
		"first":  "PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: X12\r\n\r\n",
		"middle": "PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 1X2\r\n\r\n",
		"last":   "PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 12X\r\n\r\n",
	} {
		want := digits
		if place != "middle" {
			want = sorted(digits + " \t")
		}
		if got := everyByte(text, request); got != want {
			t.Errorf("the %s byte of a length: got %q accepted, want %q", place, got, want)
		}
	}
	unsupported := func(text string) bool {
		var r Request
		_, err := r.Parse([]byte(text), Limits{})
		return errors.Is(err, errVersion)
	}
	if got := everyByte("GET / HTTP/X.1\r\nHost: h\r\n\r\n", unsupported); got != "023456789" {
		t.Errorf("major versions that are not supported: got %q, want %q", got, "023456789")
	}
	if got := everyByte("GET / HTTP/1.X\r\nHost: h\r\n\r\n", unsupported); got != "23456789" {
		t.Errorf("minor versions that are not supported: got %q, want %q", got, "23456789")
	}
	if got := everyByte("GET / HTTP/2X0\r\nHost: h\r\n\r\n", unsupported); got != "." {
		t.Errorf("the byte between the versions: got %q, want %q", got, ".")
	}
	answered := func(text string) bool {
		_, err := response(text)
		return err == nil
	}
	for text, want := range map[string]string{
		"HTTP/1.1 X01 x\r\n\r\n": "2345", "HTTP/1.1 2X0 x\r\n\r\n": digits, "HTTP/1.1 20X x\r\n\r\n": digits,
	} {
		if got := everyByte(text, answered); got != want {
			t.Errorf("the status line %q: got %q accepted, want %q", text, got, want)
		}
	}
}

func TestChunkSizesOfEachDigit(t *testing.T) {
	const hex = "0123456789abcdefABCDEF"
	for b := range 256 {
		digit := string([]byte{byte(b)})
		at := strings.Index(hex, digit)
		if at > 15 {
			at -= 6
		}
		body := []byte("1" + digit + "\r\n" + strings.Repeat("x", 16+max(at, 0)) + "\r\n0\r\n\r\n")
		c := &Chunks{}
		data, n, err := decode(c, body, len(body))
		switch {
		case digit == "\r": // "1\r\r\n"
			if err == nil {
				t.Errorf("a size with two carriage returns: got no error")
			}
		case at < 0 && err == nil:
			t.Errorf("a size with the digit %q: got %d bytes, want an error", digit, len(data))
		case at >= 0 && (err != nil || len(data) != 16+at || n != len(body) || !c.Done()):
			t.Errorf("a size of 1%s: got %d bytes, %v; want %d", digit, len(data), err, 16+at)
		}
	}
}

func TestFramingOfChunksIsExact(t *testing.T) {
	// A trailer of n bytes.
	trailer := func(n int) string { return "A:" + strings.Repeat("x", n-4) + "\r\n" }
	for what, body := range map[string]string{
		"no digits":                             "\r\n\r\n",
		"no digits in the second size":          "1\r\na\r\n\r\n\r\n",
		"a carriage return without a line feed": "1\rXa\r\n0\r\n\r\n",
		"data without a carriage return":        "1\r\naX\n0\r\n\r\n",
		"data without a line feed":              "1\r\na\rX0\r\n\r\n",
		"an end without a line feed":            "0\r\n\rX",
		"a bare line feed instead of an end":    "0\r\n\n",
		"a trailer without a line feed":         "0\r\nA: b\rX\r\n\r\n",
		"more trailers than are dropped":        "0\r\n" + trailer(maxTrailers+1) + "\r\n",
		"too many short trailers":               "0\r\n" + strings.Repeat("A:\r\n", maxTrailers/4+1) + "\r\n",
		"a size of sixteen digits":              "0000000000000001\r\na\r\n0\r\n\r\n",
		"a negative size":                       "-1\r\na\r\n0\r\n\r\n",
	} {
		for _, size := range []int{1, 5000} {
			if data, _, err := decode(&Chunks{}, []byte(body), size); err == nil {
				t.Errorf("%s, in pieces of %d: got %q, want an error", what, size, data)
			}
		}
	}
	for what, body := range map[string]string{
		"a size of fifteen digits":        "000000000000001\r\na\r\n0\r\n\r\n",
		"as many trailers as are dropped": "1\r\na\r\n0\r\n" + trailer(maxTrailers) + "\r\n",
		"a trailer without a value":       "1\r\na\r\n0\r\nA:\r\n\r\n",
	} {
		chunks := &Chunks{}
		if data, n, err := decode(chunks, []byte(body), 5000); string(data) != "a" || n != len(body) || err != nil || !chunks.Done() {
			t.Errorf("%s: got %q, %d bytes, %v; want \"a\" and the whole body", what, data, n, err)
		}
		r, err := http.ReadRequest(bufio.NewReader(strings.NewReader("PUT / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n" + body)))
		if err != nil {
			t.Fatal(err)
		}
		if data, err := io.ReadAll(r.Body); string(data) != "a" || err != nil {
			t.Errorf("%s, read by net/http: got %q, %v; want \"a\"", what, data, err)
		}
	}
}

func TestOfRepeatedFieldsTheFirstCounts(t *testing.T) {
	r, err := parseRequest(t, "GET / HTTP/1.1\r\nHost: h\r\nAccept: a\r\nAccept-Encoding: b\r\nUser-Agent: c\r\nACCEPT: d\r\naccept-encoding: e\r\nuser-agent: f\r\n\r\n")
	if err != nil || r.Accept != "a" || r.AcceptEncoding != "b" || r.UserAgent != "c" {
		t.Errorf("repeated fields: got %q, %q, %q, %v; want a, b, c", r.Accept, r.AcceptEncoding, r.UserAgent, err)
	}
}

func TestFieldsOfOtherNamesOfTheSameLengthMeanNothing(t *testing.T) {
	// Each name has the length of one that counts.
	const others = "Aost: x\r\nAccepx: x\r\nUpgradx: x\r\nTrailex: x\r\nUser-Agenx: x\r\nContent-Typx: x\r\nAuthorizatiox: x\r\n" +
		"Accept-Encodinx: x\r\nContent-Lengtx: x\r\nTransfer-Encodinx: x\r\nConnectiox: close\r\nExpecx: x\r\n"
	r, err := parseRequest(t, "GET / HTTP/1.1\r\nHost: h\r\n"+others+"\r\n")
	if err != nil || r.Host != "h" || r.Accept+r.AcceptEncoding+r.UserAgent+r.ContentType+r.Authorization != "" || r.Upgrade || r.Close || r.Expect || r.Body != None {
		t.Errorf("fields of other names: got %+v, %v; want none of them to count", r, err)
	}
}

func TestAnUpgradeIsSeenBesideNamesOfItsLength(t *testing.T) {
	for fields, want := range map[string]bool{"Upgrade: x\r\nAbcdefg: y\r\n": true, "Abcdefg: y\r\nUpgrade: x\r\n": true, "Abcdefg: y\r\n": false} {
		if r, err := parseRequest(t, "GET / HTTP/1.1\r\nHost: h\r\n"+fields+"\r\n"); err != nil || r.Upgrade != want {
			t.Errorf("fields %q: got the upgrade %t, %v; want %t", fields, r.Upgrade, err, want)
		}
	}
}

func TestNamesWithUnderscoresThatLookLikeOthers(t *testing.T) {
	for name, want := range map[string]bool{
		"content_length": true, "CONTENT_LENGTH": true, "Transfer_Encoding": true, "content_type": true, "X_FORWARDED_FOR": true, "x-forwarded_for": true,
		"x_real_ip": true, "X_REAL-IP": true, "Zontent_length": false, "x_real_iq": false, "content_lengtz": false, "a_b": false, "x_real_ip_": false,
		"content[length_": false, "content-length": false, "X_FORWARDED_FOZ": false, "_-real-ip": false,
	} {
		if got := mimics(name); got != want {
			t.Errorf("mimics(%q): got %t, want %t", name, got, want)
		}
	}
}

func TestControlBytesInOutgoingFieldsPanic(t *testing.T) {
	for b := range 256 {
		func() {
			defer func() {
				want := b < ' ' && b != '\t' || b == 0x7f
				if got := recover() != nil; got != want {
					t.Errorf("checked with the byte %#x: got the panic %t, want %t", b, got, want)
				}
			}()
			_ = checked(fmt.Sprintf("a%sb", string([]byte{byte(b)})))
		}()
	}
}

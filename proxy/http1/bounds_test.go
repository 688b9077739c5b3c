package http1

import (
	"errors"
	"strings"
	"testing"
)

// A line feed alone ends a line for some programs and not for others. What it cuts off looks
// valid in each of these heads.
func TestALineThatEndsWithoutACarriageReturnIsRefused(t *testing.T) {
	for _, head := range []string{
		"GET / HTTP/1.1X\nHost: h\r\n\r\n", "GET / HTTP/1.1\r\nHost: ho\nA: b\r\n\r\n", "GET / HTTP/1.1\r\nHost: h\r\nA: bc\n\r\n",
		"GET / HTTP/1.1\r\nHost: h\r\nA: b \n\r\n", "\nGET / HTTP/1.1\r\nHost: h\r\n\r\n",
	} {
		var r Request
		if n, err := r.Parse([]byte(head), Limits{}); n != 0 || !errors.Is(err, errBareLF) {
			t.Errorf("parsing %q: got %d, %v; want 0, %v", head, n, err, errBareLF)
		}
	}
	var r Response
	if n, err := r.Parse([]byte("HTTP/1.1 200 OKX\nContent-Length: 0\r\n\r\n"), "GET", Limits{}); n != 0 || !errors.Is(err, errBareLF) {
		t.Errorf("parsing a response: got %d, %v; want 0, %v", n, err, errBareLF)
	}
}

func TestAnErrorConsumesNothing(t *testing.T) {
	for _, head := range []string{"GET / HTTP/1.1\n", "GET /\r\n\r\n", strings.Repeat("x", defaultHead), strings.Repeat("x", defaultHead) + "\r\n"} {
		var r Request
		if n, err := r.Parse([]byte(head), Limits{}); n != 0 || err == nil {
			t.Errorf("parsing a request of %d bytes that is refused: got %d, %v; want 0 and an error", len(head), n, err)
		}
		var a Response
		if n, err := a.Parse([]byte(head), "GET", Limits{}); n != 0 || err == nil {
			t.Errorf("parsing a response of %d bytes that is refused: got %d, %v; want 0 and an error", len(head), n, err)
		}
	}
	for _, stream := range []string{"GET / HTTP/1.1\n", postChunks[:strings.Index(postChunks, "5\r\n")] + "5;x\r\n"} {
		f := Follower{}
		shown, err := follow(&f, []byte(stream), 1000)
		if n, again := f.Feed([]byte(stream[len(shown):])); err == nil || n != 0 || again == nil {
			t.Errorf("following %q: got %q passed on and %v, then %d bytes and %v; want an error and no byte of what is wrong", stream, shown, err, n, again)
		}
	}
	f := Follower{Check: func(*Request) *Error { return errHost }}
	if n, err := f.Feed([]byte(getNothing)); n != 0 || !errors.Is(err, errHost) {
		t.Errorf("a message that is refused by Check: got %d, %v; want 0, %v", n, err, errHost)
	}
}

func TestTheStatusOfEachError(t *testing.T) {
	for status, list := range map[int][]*Error{
		400: {errChunk, errRequestLine, errHost, errTwoHosts, errNoHost, errAuthorizations, errContentTypes, errUnderscore, errPreface,
			errBareLF, errControl, errFieldName, errFolded, errNoColon, errLength, errTwoLengths, errBothLengths, errTwoCodings, errCodingIn10, errOptions},
		417: {errExpect}, 431: {errHeadSize, errFieldCount}, 501: {errCoding}, 502: {errStatusLine, errSwitched}, 505: {errVersion},
	} {
		for _, err := range list {
			if err.Status != status {
				t.Errorf("the status of %q: got %d, want %d", err, err.Status, status)
			}
		}
	}
}

func TestConfiguredLimitsAreUsedHoweverSmallTheyAre(t *testing.T) {
	for limits, want := range map[Limits][2]int{{}: {32 << 10, 100}, {Head: 1, Fields: 1}: {1, 1}, {Head: 2, Fields: 7}: {2, 7}, {Head: -1, Fields: -1}: {32 << 10, 100}} {
		if got := [2]int{limits.head(), limits.fields()}; got != want {
			t.Errorf("the limits %+v: got %v, want %v", limits, got, want)
		}
	}
	var r Request
	if _, err := r.Parse([]byte("GET / HTTP/1.1\r\nHost: h\r\nA: b\r\n\r\n"), Limits{Fields: 1}); !errors.Is(err, errFieldCount) {
		t.Errorf("two fields with a limit of one: got the error %v, want %v", err, errFieldCount)
	}
}

// TestASlowHeadIsScannedOnce checks where the next search begins.
func TestASlowHeadIsScannedOnce(t *testing.T) {
	head := []byte("GET / HTTP/1.1\r\nHost: h\r\nA: b\r\n\r\n")
	scanned := 0
	for i := range head {
		if n, err := headEnd(head[:i], &scanned, &Limits{}); n != 0 || err != nil {
			t.Fatalf("the end of %q: got %d, %v; want 0, none", head[:i], n, err)
		}
		if want := strings.LastIndexByte(string(head[:i]), '\n') + 1; scanned != want {
			t.Errorf("the next search after %q: got it to begin at %d, want %d", head[:i], scanned, want)
		}
	}
	if n, err := headEnd(head, &scanned, &Limits{}); n != len(head) || err != nil || scanned != 0 {
		t.Errorf("the end of the head: got %d, %v and the next search at %d; want %d, none and 0", n, err, scanned, len(head))
	}
}

func TestAMessageIsParsedFromTheBeginningAfterAnyOther(t *testing.T) {
	var r Request
	var a Response
	part := []byte("GET / HTTP/1.1\r\nHost: a-long-name.example.org\r\n")
	if n, err := r.Parse(part, Limits{}); n != 0 || err != nil {
		t.Fatalf("a part of a head: got %d, %v; want 0, none", n, err)
	}
	if _, err := r.Parse(append(part, "A: b\n"...), Limits{}); err == nil {
		t.Fatal("a bare line feed: got no error")
	}
	const next = "GET /next HTTP/1.1\r\nHost: h\r\n\r\n"
	if n, err := r.Parse([]byte(next), Limits{}); n != len(next) || err != nil || r.Target != "/next" || len(r.Fields) != 1 {
		t.Errorf("the next request: got %d bytes, the target %q, %d fields, %v; want %d, /next, 1, none", n, r.Target, len(r.Fields), err, len(next))
	}
	part = []byte("HTTP/1.1 201 Created\r\nX-Etcd-Index: 7\r\n")
	for i := range part {
		if n, err := a.Parse(part[:i], "GET", Limits{}); n != 0 || err != nil {
			t.Fatalf("the first %d bytes of a response: got %d, %v; want 0, none", i, n, err)
		}
	}
	if _, err := a.Parse(append(part, "A: b\n"...), "GET", Limits{}); err == nil {
		t.Fatal("a bare line feed: got no error")
	}
	for _, answer := range []string{"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", "HTTP/1.0 204 No Content\r\n\r\n"} {
		n, err := a.Parse([]byte(answer), "GET", Limits{})
		if want := strings.Count(answer, ":"); n != len(answer) || err != nil || len(a.Fields) != want || a.Minor != int(answer[7]-'0') {
			t.Errorf("the next response: got %d bytes, %d fields, HTTP/1.%d, %v; want %d, %d, HTTP/1.%c, none", n, len(a.Fields), a.Minor, err, len(answer), want, answer[7])
		}
	}
}

func TestLengthsOfUpTo15DigitsAreReadExactly(t *testing.T) {
	for text, want := range map[string]int64{"0": 0, "1": 1, "10": 10, "007": 7, "1234567890": 1234567890, "999999999999999": 999999999999999, "9007199254740993": -1, "1000000000000000": -1} {
		r, err := parseRequest(t, "PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: "+text+"\r\n\r\n")
		if want < 0 {
			if err != errLength {
				t.Errorf("the length %s: got %d, %v; want %v", text, r.Length, err, errLength)
			}
			continue
		}
		framing := Length
		if want == 0 {
			framing = None
		}
		if err != nil || r.Length != want || r.Body != framing {
			t.Errorf("the length %s: got %d with the framing %v, %v; want %d with %v", text, r.Length, r.Body, err, want, framing)
		}
	}
}

func TestLongNamesOfTrailersCountAsWell(t *testing.T) {
	for name, refused := range map[string]bool{strings.Repeat("n", maxTrailers-3): false, strings.Repeat("n", maxTrailers-2): true} {
		if _, _, err := decode(&Chunks{}, []byte("0\r\n"+name+":\r\n\r\n"), 5000); (err != nil) != refused {
			t.Errorf("a trailer whose name has %d bytes: got the error %v, want it refused: %t", len(name), err, refused)
		}
	}
}

func TestBlanksAroundAValueAreNotOfIt(t *testing.T) {
	for written, want := range map[string]string{"": "", " ": "", "\t": "", " \t ": "", "a": "a", " a": "a", "a ": "a", "\ta b\t": "a b", "  a  ": "a", "ab\t\t": "ab"} {
		r, err := parseRequest(t, "GET / HTTP/1.1\r\nHost: h\r\nA:"+written+"\r\n\r\n")
		if err != nil || r.Fields[1].Value != want {
			t.Errorf("the value of %q: got %+v, %v; want %q", written, r.Fields, err, want)
		}
	}
}

func TestLettersAreFoldedAndOtherBytesAreNot(t *testing.T) {
	for _, c := range []struct {
		text, lower string
		want        bool
	}{
		{"AZaz", "azaz", true}, {"zZ", "zz", true}, {"a", "ab", false}, {"@", "`", false}, {"[", "{", false}, {"\u212a", "k", false}, {"b", "a", false},
	} {
		if got := equalFold(c.text, c.lower); got != c.want {
			t.Errorf("equalFold(%q, %q): got %t, want %t", c.text, c.lower, got, c.want)
		}
	}
	for host, want := range map[string]bool{"Zz9.-_:[]": true, "a@b": false, "a\\b": false, "a^b": false, "a`b": false, "a{b": false, "a/b": false, "": false} {
		if got := validHost(host); got != want {
			t.Errorf("validHost(%q): got %t, want %t", host, got, want)
		}
	}
}

func TestOneExpectationOfSeveralIsEnough(t *testing.T) {
	for fields, want := range map[string]bool{
		"Expect: 100-continue\r\nExpect: x\r\n": true, "Expect: x\r\nExpect: 100-continue\r\n": true, "Expect: x, 100-Continue\r\n": true,
	} {
		if r, err := parseRequest(t, "PUT / HTTP/1.1\r\nHost: h\r\n"+fields+"\r\n"); err != nil || r.Expect != want {
			t.Errorf("%q: got Expect %t, %v; want %t", fields, r.Expect, err, want)
		}
	}
}

func TestTheFirstRequestIDCounts(t *testing.T) {
	r, err := parseRequest(t, "GET / HTTP/1.1\r\nHost: h\r\nX-Request-ID: a\r\nx-request-id: b\r\n\r\n")
	if err != nil || r.RequestID != "a" || r.ContentType != "" {
		t.Errorf("two request IDs: got %q and the type %q, %v; want a and none", r.RequestID, r.ContentType, err)
	}
}

func TestEachFieldIsSentUnderItsOwnName(t *testing.T) {
	got := string(AppendRequest(nil, &Outgoing{
		Method: "PUT", Target: "/a", Host: "1", UserAgent: "2", Accept: "3", AcceptEncoding: "4", ContentType: "5", ForwardedFor: "6", RealIP: "7", Authorization: "8", Length: 9,
	}))
	const want = "PUT /a HTTP/1.1\r\nHost: 1\r\nUser-Agent: 2\r\nAccept: 3\r\nAccept-Encoding: 4\r\nContent-Type: 5\r\nX-Forwarded-For: 6\r\nX-Real-IP: 7\r\nAuthorization: 8\r\nContent-Length: 9\r\n\r\n"
	if got != want {
		t.Errorf("a head with all fields: got %q, want %q", got, want)
	}
}

func TestAnswersWithoutABodyWhateverTheirHeadSays(t *testing.T) {
	for _, c := range []struct {
		method, status string
		want           Framing
	}{
		{"GET", "304", None}, {"GET", "204", None}, {"HEAD", "200", None}, {"GET", "103", None}, {"GET", "305", Length}, {"GET", "200", Length}, {"GET", "205", Length}, {"DELETE", "303", Length},
	} {
		r := Response{Body: Chunked}
		if _, err := r.Parse([]byte("HTTP/1.1 "+c.status+" x\r\nContent-Length: 5\r\n\r\n"), c.method, Limits{}); err != nil || r.Body != c.want || r.Length != 5 {
			t.Errorf("status %s to a %s: got the framing %v and the length %d, %v; want %v and 5", c.status, c.method, r.Body, r.Length, err, c.want)
		}
	}
	// A control byte directly behind the status.
	if _, err := response("HTTP/1.1 200\x01\r\n\r\n"); !errors.Is(err, errStatusLine) {
		t.Errorf("a control byte behind the status: got the error %v, want %v", err, errStatusLine)
	}
}

// The names of fields are often values of others.
func TestOnlyConnectionNamesFieldsThatAreDropped(t *testing.T) {
	r, err := response("HTTP/1.1 200 OK\r\nVary: X-Etcd-Index\r\nConnection: X-Other\r\nX-Etcd-Index: 7\r\nContent-Length: 0\r\n\r\n")
	if err != nil || len(r.Fields) != 4 {
		t.Errorf("a field that another field names: got %+v, %v; want all 4 fields", r.Fields, err)
	}
}

func TestTheRequestLineHasThreeParts(t *testing.T) {
	for line, want := range map[string]error{
		"GET / HTTP/1.1": nil, "G / HTTP/1.1": nil, " / HTTP/1.1": errRequestLine, "GET  HTTP/1.1": errRequestLine, "GET HTTP/1.1": errRequestLine, "GET": errRequestLine, " ": errRequestLine, "": errRequestLine,
	} {
		if _, err := parseRequest(t, line+"\r\nHost: h\r\n\r\n"); (want != nil || err != nil) && !errors.Is(err, want) {
			t.Errorf("the request line %q: got the error %v, want %v", line, err, want)
		}
	}
}

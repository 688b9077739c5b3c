package std

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/iotest"

	"etcd-tlsproxy/proxy/lane"
)

func TestOnlyABodyThatWasReadToItsEndIsDiscarded(t *testing.T) {
	limits := &lane.Limits{Body: 100, BodyTimeout: bodyTimeout}
	for what, test := range map[string]struct {
		body   io.Reader
		waited bool // for a 100 Continue
		fail   error
		want   bool
	}{
		"an empty body":                        {body: strings.NewReader(""), want: true},
		"a body":                               {body: strings.NewReader("value=1"), want: true},
		"a body in pieces":                     {body: iotest.OneByteReader(strings.NewReader(strings.Repeat("x", 99))), want: true},
		"a body above the limit":               {body: strings.NewReader(strings.Repeat("x", 101))},
		"a body above the limit in pieces":     {body: iotest.OneByteReader(strings.NewReader(strings.Repeat("x", 101)))},
		"a body that breaks off":               {body: io.MultiReader(strings.NewReader("val"), iotest.ErrReader(io.ErrUnexpectedEOF))},
		"a body that takes too long":           {body: iotest.ErrReader(http.ErrHandlerTimeout)},
		"a body without a deadline":            {body: strings.NewReader("value=1"), fail: errors.New("closed")},
		"a body that was to wait":              {body: strings.NewReader("value=1"), waited: true, want: true},
		"a request in place of a body":         {body: strings.NewReader("GET / HTTP/1.1\r\n"), waited: true},
		"a body like a request":                {body: strings.NewReader("GET / HTTP/1.1\r\n"), want: true},
		"a body with a request further behind": {body: io.MultiReader(strings.NewReader("value=1"), strings.NewReader("GET / HTTP/1.1\r\n")), waited: true, want: true},
	} {
		w := &deadlines{ResponseRecorder: httptest.NewRecorder(), fail: test.fail}
		if got := discard(http.NewResponseController(w), test.body, limits, test.waited); got != test.want {
			t.Errorf("%s: got %t, want %t", what, got, test.want)
		}
		if test.want && !w.read[len(w.read)-1].IsZero() {
			t.Errorf("%s: a deadline is left for the next request", what)
		}
	}
}

func TestOnlyAClientOfHTTP11WaitsForA100Continue(t *testing.T) {
	for what, test := range map[string]struct {
		major, minor int
		length       int64
		expect, want bool
	}{
		"HTTP/1.1":                          {1, 1, 5, true, true},
		"HTTP/1.1 with chunks":              {1, 1, -1, true, true},
		"HTTP/1.1 without a body":           {1, 1, 0, true, false},
		"HTTP/1.1 without an expectation":   {1, 1, 5, false, false},
		"HTTP/1.0":                          {1, 0, 5, true, false},
		"HTTP/2, where net/http answers it": {2, 0, 5, true, false},
	} {
		r := httptest.NewRequest("PUT", "/v2/keys/a", nil)
		r.ProtoMajor, r.ProtoMinor, r.ContentLength = test.major, test.minor, test.length
		if test.expect {
			r.Header["Expect"] = []string{""}
		}
		if got := expectsContinue(r); got != test.want {
			t.Errorf("%s: got %t, want %t", what, got, test.want)
		}
	}
}

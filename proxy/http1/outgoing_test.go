package http1

import (
	"testing"
)

func TestWhatIsSentIsReadBack(t *testing.T) {
	head := AppendRequest(nil, &Outgoing{
		Method: "PUT", Target: "/v2/keys/a%20b?prevExist=true", Host: "etcd", ContentType: "application/x-www-form-urlencoded",
		UserAgent: "curl", ForwardedFor: "192.0.2.1", RealIP: "192.0.2.1", Length: 9,
	})
	var r Request
	if n, err := r.Parse(head, Limits{}); n != len(head) || err != nil || r.Method != "PUT" || r.Target != "/v2/keys/a%20b?prevExist=true" ||
		r.Host != "etcd" || r.Length != 9 || r.ContentType != "application/x-www-form-urlencoded" || len(r.Fields) != 6 {
		t.Errorf("parsing the appended head %q: got %+v, %v, want the fields that were appended", head, r, err)
	}
	head = AppendRequest(head[:0], &Outgoing{Method: "GET", Target: "/", Host: "etcd", Length: -1})
	if string(head) != "GET / HTTP/1.1\r\nHost: etcd\r\n\r\n" {
		t.Errorf("a request without optional fields: got head %q, want only the request line and the host", head)
	}
}

func TestAControlByteNeverLeaves(t *testing.T) {
	for _, o := range []Outgoing{
		{Method: "GET", Target: "/ HTTP/1.1\r\nX: y", Host: "h"},
		{Method: "GET", Target: "/", Host: "h", UserAgent: "a\nb"},
		{Method: "GET", Target: "/", Host: "h", Accept: "\x00"},
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("appending %+v: got a head, want a panic", o)
				}
			}()
			AppendRequest(nil, &o)
		}()
	}
}

package fast

import (
	"strings"
	"testing"
)

// TestOnlyReadsOfTinyPiecesWait makes ordinary requests, and then sends a head byte by byte. The rate is
// one read per second.
func TestOnlyReadsOfTinyPiecesWait(t *testing.T) {
	r := newRig(t, patientLimits)
	r.delayed = make(chan struct{}, 1)
	client, served, _ := r.connect()
	for i := range 300 {
		method, request := "GET", "GET /version HTTP/1.1\r\nHost: h\r\n\r\n"
		if i%2 == 0 {
			method, request = "PUT", "PUT /v2/keys/eventlogging/x HTTP/1.1\r\nHost: h\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 7\r\n\r\nvalue=x"
		}
		if err := client.Send(request); err != nil {
			t.Fatal(err)
		}
		if a, err := client.Answer(method); err != nil || a.Status >= 300 {
			t.Fatalf("request %d: got %+v and the error %v, want a success", i, a, err)
		}
		select {
		case <-r.delayed:
			t.Fatalf("request %d had to wait", i)
		default:
		}
	}
	for _, b := range []byte("GET /" + strings.Repeat("x", 100)) {
		if err := client.Send(string(b)); err != nil {
			t.Fatal(err)
		}
	}
	<-r.delayed
	served.wire.Close() // it would read the rest at that rate
}

package fast

import (
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"etcd-tlsproxy/proxy/gate"
	"etcd-tlsproxy/proxy/proxytest/seed"
)

// keepHandedOver lets the rig keep what is handed over, and close the connection.
func (r *rig) keepHandedOver() <-chan string {
	handed := make(chan string, 1)
	r.HandOver = func(c *tls.Conn, _ *gate.Peer, received []byte) {
		handed <- string(received)
		c.Close()
	}
	return handed
}

func TestOnlyPlainRequestsStay(t *testing.T) {
	limits := patientLimits
	limits.Body = 100
	r := newRig(t, limits)
	handed := r.keepHandedOver()
	form := "Content-Type: application/x-www-form-urlencoded\r\n"
	for _, test := range []struct {
		line, fields, body string
		stays              bool
	}{
		{"GET /v2/keys/none HTTP/1.1", "", "", true},
		{"GET /v2/keys/%6eone?quorum=true HTTP/1.1", "", "", true},
		{"GET /v2/keys/none?wait=false HTTP/1.1", "", "", true},
		{"GET /version HTTP/1.1", "Upgrade: h2c\r\n", "", true},
		{"HEAD /v2/keys/none HTTP/1.1", "", "", true},
		{"DELETE /v2/keys/none HTTP/1.1", "", "", true},
		{"PUT /v2/keys/a HTTP/1.1", "", "", true},
		{"POST /v2/keys/a HTTP/1.1", form + "Content-Length: 100\r\n", strings.Repeat("x", 100), true},
		{"POST /v2/keys/a HTTP/1.1", form + "Content-Length: 101\r\n", "", false},
		{"PUT /v2/keys/a HTTP/1.1", form + "Transfer-Encoding: chunked\r\n", "", false},
		{"PUT /v2/keys/a HTTP/1.1", form + "Content-Length: 5\r\nExpect: 100-continue\r\n", "", false},
		{"PUT /v2/keys/a HTTP/1.1", form + "Content-Length: 5\r\nUpgrade: h2c\r\n", "", false},
		{"GET /v2/keys/none HTTP/1.1", "Content-Length: 5\r\n", "", false},
		{"HEAD /v2/keys/none HTTP/1.1", "Content-Length: 5\r\n", "", false},
		{"DELETE /v2/keys/none HTTP/1.1", "Content-Length: 5\r\n", "", false},
		{"GET /v2/keys/none HTTP/1.1", "Host: other\r\n", "", false},
		{"GET /v2/keys/none HTTP/1.1", "X-Pad: a\x00b\r\n", "", false},
		{"GET /v2/keys/none HTTP/1.0", "", "", false},
		{"GET http://h/v2/keys/none HTTP/1.1", "", "", false},
		{"GET /v2/keys/%zz HTTP/1.1", "", "", false},
		{"GET /v2/keys/%zz?wait=true HTTP/1.1", "", "", false},
		{"OPTIONS /v2/keys/none HTTP/1.1", "", "", false},
		{"PATCH /v2/keys/none HTTP/1.1", "", "", false},
		{"GET /v2/keys/none?wait=true&stream=true HTTP/1.1", "", "", false},
		{"GET /v2/keys/none?wait=true&waitIndex=x HTTP/1.1", "", "", false},
	} {
		text := test.line + "\r\nHost: h\r\n" + test.fields + "\r\n" + test.body
		client, _, closed := r.connect()
		if err := client.Send(text); err != nil {
			t.Fatal(err)
		}
		if !test.stays {
			if got := <-handed; got != text {
				t.Errorf("%s with %q: got %q handed over, want the request", test.line, test.fields, got)
			}
			<-closed
			continue
		}
		method, _, _ := strings.Cut(test.line, " ")
		if a, err := client.Answer(method); err != nil || a.Status == 400 || len(handed) != 0 {
			t.Errorf("%s with %q: got %+v, the error %v and %d handed over, want an answer", test.line, test.fields, a, err, len(handed))
		}
	}
}

// TestAWatchStaysUnlessItsAnswerDependsOnTheUser has snapshots in which watches cannot be shared.
func TestAWatchStaysUnlessItsAnswerDependsOnTheUser(t *testing.T) {
	r := newRig(t, patientLimits)
	handed := r.keepHandedOver()
	shared := r.Exchange.Current.Load()
	users, alone := *shared, *shared
	users.EtcdUsers, alone.Watches = gate.EtcdClients, nil
	for i, test := range []struct {
		login string
		users bool
		alone bool
		stays bool
	}{{"", false, false, true}, {"root", false, false, true}, {"", true, false, true}, {"root", true, false, false}, {"", false, true, false}} {
		switch {
		case test.users:
			r.Exchange.Current.Publish(&users)
		case test.alone:
			r.Exchange.Current.Publish(&alone)
		default:
			r.Exchange.Current.Publish(shared)
		}
		client, _, _ := r.connect()
		text := "GET /v2/keys" + watchedKey + "?wait=true HTTP/1.1\r\nHost: h\r\n"
		if test.login != "" {
			text += "Authorization: " + seed.Basic(test.login) + "\r\n"
		}
		if err := client.Send(text + "\r\n"); err != nil {
			t.Fatal(err)
		}
		if test.stays {
			if head, err := client.Head(); err != nil || head.Status != 200 {
				t.Errorf("watch %d: got %+v and the error %v, want the head of a watch", i, head, err)
			}
		} else if got := <-handed; got != text+"\r\n" {
			t.Errorf("watch %d: got %q handed over, want the request", i, got)
		}
	}
}

func TestRequestsThatArriveTogetherAreAnsweredInOrder(t *testing.T) {
	t.Parallel()
	r := newRig(t, patientLimits)
	client, _, closed := r.connect()
	var text strings.Builder
	const n = 400 // more than fits into the buffer of a connection
	for i := range n {
		body := fmt.Sprintf("value=%d", i)
		fmt.Fprintf(&text, "PUT /v2/keys%s HTTP/1.1\r\nHost: h\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: %d\r\n\r\n%s", watchedKey, len(body), body)
	}
	text.WriteString("HEAD /v2/keys/none HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
	sent := make(chan error, 1)
	go func() { sent <- client.Send(text.String()) }()
	for i := range n {
		a, err := client.Answer("PUT")
		if err != nil || !strings.Contains(a.Body, fmt.Sprintf(`"value":"%d"`, i)) {
			t.Fatalf("write %d: got %+v and the error %v, want its own answer", i, a, err)
		}
	}
	if err := <-sent; err != nil {
		t.Fatal(err)
	}
	if a, err := client.Answer(http.MethodHead); err != nil || a.Status != 404 {
		t.Errorf("the last request: got %+v and the error %v, want the status 404", a, err)
	}
	if rest, err := io.ReadAll(client.Conn); err != nil || len(rest) > 0 {
		t.Errorf("behind the last answer: got %q and the error %v, want the end", rest, err)
	}
	client.Close()
	<-closed
}

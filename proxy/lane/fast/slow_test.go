package fast

import (
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"etcd-tlsproxy/proxy/proxytest"
)

// TestAClientThatTakesNoAnswersIsCut has clients that send more requests than their buffers have room for answers.
func TestAClientThatTakesNoAnswersIsCut(t *testing.T) {
	const requests = 2000
	large := strings.Repeat("x", 200<<10)
	r := newRigBefore(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "204800")
		_, _ = w.Write([]byte(large))
	})
	s := *r.Exchange.Current.Load()
	s.Limits.BodyTimeout = 300 * time.Millisecond
	r.Exchange.Current.Publish(&s)
	all := make(map[string]*conn)
	for what, request := range map[string]string{
		"answers":  noneRequest,
		"refusals": "PUT /v2/keys/conftool/x HTTP/1.1\r\nHost: h\r\n\r\n",
	} {
		client, served, _ := r.connect()
		// Otherwise the buffer grows, and the kernel accepts the bytes that the client does not read.
		if err := client.NetConn().(*net.TCPConn).SetReadBuffer(16 << 10); err != nil {
			t.Fatal(err)
		}
		go func() { _ = client.Send(strings.Repeat(request, requests)) }() // its connection may end before
		all[what] = served
	}
	for what, served := range all {
		r.eventually("the connection of a client that takes no "+what+" ends", func() bool {
			served.mu.Lock()
			defer served.mu.Unlock()
			return served.lingering
		})
	}
}

// TestAClientThatSendsItsBodyByteByByteIsEndedInTime has a client that is never silent for as long as the time limit.
func TestAClientThatSendsItsBodyByteByByteIsEndedInTime(t *testing.T) {
	limits := patientLimits
	limits.BodyTimeout = time.Second
	r := newRig(t, limits)
	client, _, closed := r.connect()
	if err := client.Send("PUT /v2/keys/eventlogging/a HTTP/1.1\r\nHost: h\r\nContent-Length: 10000\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	answer := make(chan int, 1)
	go func() {
		a, err := client.Answer("PUT")
		if err != nil {
			t.Errorf("a client that sends its body slowly: got the error %v, want an answer", err)
			a = &proxytest.Answer{}
		}
		answer <- a.Status
	}()
	tick := time.NewTicker(limits.BodyTimeout / 5)
	defer tick.Stop()
	for range 100 {
		select {
		case status := <-answer:
			if status != 408 {
				t.Errorf("a client that sends its body slowly: got the status %d, want 408", status)
			}
			client.Close()
			<-closed
			return
		case <-tick.C:
			_ = client.Send("x")
		}
	}
	t.Error("after 100 bytes the client is still waited for")
}

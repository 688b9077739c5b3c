package fast

import (
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
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

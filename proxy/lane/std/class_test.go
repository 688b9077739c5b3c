package std

import (
	"crypto/tls"
	"testing"
	"time"

	"etcd-tlsproxy/proxy/account"
	"etcd-tlsproxy/proxy/proxytest"
)

func TestAClientThatStopsInABodyIsStalledWhateverBecomesOfTheBody(t *testing.T) {
	for what, line := range map[string]string{
		"of a write": "PUT /v2/keys/eventlogging/w", "of a refused write": "PUT /v2/keys/conftool/x", "of a refused target": "PUT /v2/keys/a;b?c;d", "of a read": "GET /v2/keys/a",
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, func(*rig) {})
			client, err := proxytest.DialRaw(r.ln.Addr().String(), &tls.Config{RootCAs: r.pki.Pool(), ServerName: "localhost"})
			if err != nil {
				t.Fatal(err)
			}
			defer client.Close()
			served := <-r.opened
			if err := client.Send(line + " HTTP/1.1\r\nHost: h\r\nContent-Length: 7\r\n\r\nval"); err != nil {
				t.Fatal(err)
			}
			for limit := time.Now().Add(time.Minute); served.Class() != account.Stalled; time.Sleep(time.Millisecond) { //nolint:forbidigo // nothing signals the class
				if time.Now().After(limit) {
					t.Fatalf("after a minute: got class %d, want %d (stalled)", served.Class(), account.Stalled)
				}
			}
		})
	}
}

package observe

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"etcd-tlsproxy/proxy/gate"
)

func TestALineOfTheCombinedLogHasTheTimeOfTheEnd(t *testing.T) {
	var log memoryLog
	rs := NewRecords(RecordOptions{Access: &log})
	rs.write(&Record{
		Op: gate.Operation{Method: "GET", Path: "/v2/keys/a", Target: "/v2/keys/a?wait=true", Watch: true}, Peer: gate.NewPeer(netip.MustParseAddrPort("192.0.2.1:1"), nil),
		Status: 200, Bytes: 7, Started: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), Proto: "HTTP/1.1", UserAgent: "confd",
	}, time.Hour)
	const want = `192.0.2.1 - - [02/Jan/2026:04:04:05 +0000] "GET /v2/keys/a?wait=true HTTP/1.1" 200 7 "-" "confd"`
	if got := strings.TrimSpace(log.String()); got != want {
		t.Errorf("a watch that took an hour:\n got %s\nwant %s", got, want)
	}
}

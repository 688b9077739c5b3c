package proxy_test

import (
	"testing"

	"etcd-tlsproxy/proxy"
	"etcd-tlsproxy/proxy/proxytest/fronttest"
)

// TestALimitThatWasNearForAMomentIsSeen opens connections and closes them before anybody asks
// for the status.
func TestALimitThatWasNearForAMomentIsSeen(t *testing.T) {
	t.Parallel()
	f := fronttest.Fast.FrontWith(t, fronttest.StandIn(t, nil), func(o *proxy.Options) { o.MaxConnections = 20 }, nil)
	const opened = 17 // an eighth is for clients at other addresses
	for range opened {
		defer f.Dial().Close()
	}
	fronttest.Eventually(t, "the connections are counted", func() bool { return f.Connections() == opened })
	f.Server.Empty(true) // ends idle connections
	fronttest.Eventually(t, "the connections have ended", func() bool { return f.Connections() == 0 })
	fronttest.Eventually(t, "the peak is sampled", func() bool { return gather(t, f)["limit_highest limit=connections"] == opened })
	for _, l := range f.Server.Status().Limits {
		if l.Name == "connections" && (l.Used != 0 || l.Highest != opened || l.HighestPercent != 85) {
			t.Errorf("the status: got %+v, want none in use and at most %d of 20", l, opened)
		}
	}
}

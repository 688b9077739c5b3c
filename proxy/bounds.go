package proxy

import (
	"runtime"

	"etcd-tlsproxy/proxy/account"
	"etcd-tlsproxy/proxy/lane"
	"etcd-tlsproxy/proxy/observe"
)

// How many reads that no answer pays for a client may cause in a second, and all clients of a network
// together, for each processor. See [lane.Bounds].
const (
	accountReads = 1000
	networkReads = 2000
)

// How many bytes a client may send in a second behind the last answers of its connections, and all
// clients of a network together. The bytes of a second may be sent at once.
const (
	accountLingering = 32 << 20
	networkLingering = 64 << 20
)

func newBounds(m *observe.Metrics) lane.Bounds {
	processors := runtime.GOMAXPROCS(0)
	return lane.Bounds{
		Reads: account.NewRate(accountReads*processors, networkReads*processors), Delayed: m.ReadDelayed,
		Lingering: account.NewRate(accountLingering/lane.LingerUnit, networkLingering/lane.LingerUnit),
	}
}

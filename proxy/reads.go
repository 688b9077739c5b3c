package proxy

import (
	"runtime"

	"etcd-tlsproxy/proxy/account"
)

// How many reads that no answer pays for a client may cause in a second, and all clients of a network
// together, for each processor. See [lane.ClientConn.BoundReads].
const (
	accountReads = 1000
	networkReads = 2000
)

func newReads() *account.Rate {
	processors := runtime.GOMAXPROCS(0)
	return account.NewRate(accountReads*processors, networkReads*processors)
}

package share

import "etcd-tlsproxy/proxy/account"

// holdings are the bytes of events that clients and networks hold. What a client or a network
// holds several times counts once.
type holdings struct {
	accounts map[*account.Account]int64
	networks map[string]int64
	counted  map[holding]struct{}
}

// holding is one event that a client or a network holds.
type holding struct {
	account *account.Account // nil for a network, or for all
	network string
	event   any
}

func newHoldings() *holdings {
	return &holdings{make(map[*account.Account]int64), make(map[string]int64), make(map[holding]struct{})}
}

// add adds an event that a client holds.
func (h *holdings) add(a *account.Account, event any, size int64) {
	if h.first(holding{account: a, event: event}) {
		h.accounts[a] += size
	}
	if network := a.Network(); h.first(holding{network: network, event: event}) {
		h.networks[network] += size
	}
}

// first reports whether a holding was not counted before.
func (h *holdings) first(one holding) bool {
	_, known := h.counted[one]
	h.counted[one] = struct{}{}
	return !known
}

// most returns the client that holds the most in the network that holds the most, or nil.
func (h *holdings) most() (most *account.Account) {
	for a, held := range h.accounts {
		switch {
		case most == nil:
			most = a
		case a.Network() == most.Network() && held > h.accounts[most],
			a.Network() != most.Network() && h.networks[a.Network()] > h.networks[most.Network()]:
			most = a
		}
	}
	return most
}

// exceeds reports whether a client holds more than one of those that want room. Networks are
// compared first, and then clients of one network.
func (h *holdings) exceeds(a *account.Account, want []*account.Account) bool {
	for _, w := range want {
		if w.Network() == a.Network() && h.accounts[w] < h.accounts[a] || h.networks[w.Network()] < h.networks[a.Network()] {
			return true
		}
	}
	return false
}

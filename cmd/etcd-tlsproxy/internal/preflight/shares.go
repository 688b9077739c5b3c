package preflight

import (
	"fmt"
	"math"
	"slices"

	"github.com/dustin/go-humanize"

	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/config"
)

// Share is the most that one client can hold of a resource that all clients share, while
// nobody else wants it.
type Share struct {
	Name        string
	Most, Total int64
	bytes       bool
	// Key is the setting that limits one client, or "" if only the total does.
	Key string
	cap int64
}

// Shares computes the shares of a configuration in a process that may have so many files open.
// An eighth of the connections and of the watches is reserved for clients that have less than
// their share. See [config.Limits.Parts] for requests.
func Shares(c *config.Config, files int64) []Share {
	l := &c.Limits
	connections, parts := int64(Connections(c, files)), l.Parts()
	all := []Share{
		{Name: "connections", Total: connections, Most: connections - connections/8, Key: "address_connections", cap: int64(l.AddressConnections)},
		{Name: "watches", Total: int64(l.Watches), Most: int64(l.Watches - l.Watches/8), Key: "user_watches", cap: int64(l.UserWatches)},
		{Name: "reads at etcd", Total: parts.Requests, Most: parts.Requests - parts.RequestsReserve},
		{Name: "quorum reads at etcd", Total: parts.Proposals, Most: parts.Proposals - parts.ProposalsReserve},
		{Name: "streams of HTTP/2", Total: l.Memory / 4, Most: l.Memory/4 - l.Memory/32, bytes: true},
		{Name: "bodies", Total: l.BodyMemory, Most: l.BodyMemory, bytes: true},
		{Name: "hashes of passwords", Total: int64(l.HashWorkers), Most: int64(l.HashWorkers)},
	}
	if awaitedHeaders(c) > 0 {
		awaited := max(1, connections/headerShare)
		all = slices.Insert(all, 1, Share{Name: "connections whose header of the PROXY protocol is awaited", Total: awaited, Most: awaited - awaited/8})
	}
	for i := range all {
		if s := &all[i]; s.cap > 0 {
			s.Most = min(s.Most, s.cap)
		}
	}
	return all
}

// awaitedHeaders is how many connections of load balancers can be open besides those in
// limits.connections, until their headers name the clients.
func awaitedHeaders(c *config.Config) int64 {
	if len(c.ProxyProtocol.From) == 0 {
		return 0
	}
	return max(1, int64(c.Limits.Connections/headerShare))
}

// headerShare is the share of the connections, as a divisor, whose header may be awaited besides.
const headerShare = 4

// String describes the share in one line.
func (s *Share) String() string {
	if s.bytes {
		return fmt.Sprintf("%s: %s of %s", s.Name, humanize.IBytes(uint64(s.Most)), humanize.IBytes(uint64(s.Total)))
	}
	return fmt.Sprintf("%s: %s of %s", s.Name, humanize.Comma(s.Most), humanize.Comma(s.Total))
}

// CheckShares reports the limits of one client that are higher than what there is. They are
// warnings, because such a limit was accepted before and is only without effect.
func (s *State) CheckShares() (warnings []string) {
	for _, share := range Shares(s.Config, math.MaxInt64) {
		if share.cap > share.Total {
			warnings = append(warnings, s.Document.Warning(fmt.Sprintf("one client may have %s, but there are %s %s for all (hint: lower the limit, or remove it: clients share what there is)",
				humanize.Comma(share.cap), humanize.Comma(share.Total), share.Name), "limits", share.Key))
		}
	}
	return warnings
}

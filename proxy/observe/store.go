package observe

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"etcd-tlsproxy/proxy/account"
)

// StoreStatus is the state of the v3 store from which keys are served.
type StoreStatus struct {
	Endpoint        string  `json:"endpoint"`         // the member in use
	Serving         bool    `json:"serving"`          // plain reads are answered
	Reason          string  `json:"reason"`           // why not
	ReadOnly        string  `json:"read_only"`        // why this program must not write: it is too old for the tree; empty if it may
	Behind          float64 `json:"behind_seconds"`   // how long there have been no events of etcd; 0 if they are followed
	BehindRevisions int64   `json:"behind_revisions"` // revisions that etcd has shown and that are not in the copy yet
	Revision        int64   `json:"revision"`         // revision of the newest event
	Index           uint64  `json:"index"`            // index of the newest event
	Session         bool    `json:"session"`          // this proxy has a session at etcd, which writes need
	Keeper          bool    `json:"keeper"`           // this proxy expires nodes for all of them, and compacts etcd
	// ClocksApart counts the other proxies whose clock differs from that of the keeper.
	ClocksApart   int       `json:"clocks_apart"`
	ClockDoubts   int       `json:"clock_doubts"`    // how often this proxy has stopped to expire nodes because of a clock
	KeeperName    string    `json:"keeper_name"`     // the machine of the proxy that expires nodes; empty if there is none
	KeeperSince   time.Time `json:"keeper_since"`    // when it began, by its own clock
	NoKeeperSince time.Time `json:"no_keeper_since"` // since when there is none; the zero time if there is one
	Expired       int64     `json:"expired"`         // nodes that this proxy has expired
	Late          float64   `json:"late_seconds"`    // for how long the node that is due first has been due
	Nodes         int       `json:"nodes"`           // files and directories
	Foreign       int       `json:"foreign"`         // values of v3 clients among the keys of the tree
	Watches       int       `json:"watches"`         // watches of clients
	Bytes         int       `json:"bytes"`           // memory of the tree and its history, about
	LastAudit     time.Time `json:"last_audit"`      // when the tree was last compared with the store
	Audits        int       `json:"audits"`          // comparisons
	Differences   int       `json:"differences"`     // comparisons that found a difference
	Mended        int       `json:"mended"`          // differences after which the tree was loaded again
	Difference    string    `json:"difference"`      // the last difference
	Differed      time.Time `json:"differed_at"`     // when it was found
	Loads         int64     `json:"loads"`           // how often the tree was loaded
	Conflicts     int64     `json:"conflicts"`       // how often a write was planned again because the tree had changed
	// BarrierWaits counts the quorum reads and refusals that waited until the copy was as fresh as etcd.
	BarrierWaits   int64   `json:"barrier_waits"`
	BarrierSeconds float64 `json:"barrier_seconds"` // the sum of these waits
	BarrierReads   int64   `json:"barrier_reads"`   // the reads of etcd that they shared
	// Fences counts how often the key of the session was put again: behind writes whose response was
	// lost, and for a new keeper, which wants to know the time.
	Fences            int64     `json:"fences"`
	LostExecuted      int64     `json:"lost_executed"`       // lost responses of writes that were executed, as was found out
	LostNotExecuted   int64     `json:"lost_not_executed"`   // lost responses of writes that were not executed, and were sent again or refused
	LostUnknown       int64     `json:"lost_unknown"`        // lost responses of writes whose outcome could not be found out
	Compacted         int64     `json:"compacted_revision"`  // the revision up to which this proxy has compacted etcd; 0 if it has not
	CompactedAt       time.Time `json:"compacted_at"`        // when it did so last
	NotCompactedSince time.Time `json:"not_compacted_since"` // since when it cannot, although it expires nodes; the zero time if it can
	FileBytes         int64     `json:"file_bytes"`          // the file of the member in use, which counts for etcd's quota
	UsedBytes         int64     `json:"used_bytes"`          // the part of the file that holds data
	QuotaBytes        int64     `json:"quota_bytes"`         // the size of the file at which etcd refuses writes
	QuotaPercent      float64   `json:"quota_percent"`       // how much of that the file is, in percent
	Alarm             string    `json:"alarm"`               // the alarm of etcd: "none", "no space" (it refuses writes) or "corrupt"; empty if it is not known
}

// WriterStatus is a client that has written to the v3 store.
type WriterStatus struct {
	Account string `json:"account"` // the address, or the user and the network
	Network string `json:"network"` // its network
	Bytes   int64  `json:"bytes"`   // what its writes added to etcd, about
}

// shownStores returns the stores with texts that are safe to show: other proxies and clients of etcd
// have chosen parts of them.
func shownStores(stores []StoreStatus) []StoreStatus {
	list := append([]StoreStatus{}, stores...)
	for i := range list {
		s := &list[i]
		s.Reason, s.ReadOnly, s.Difference, s.KeeperName = shown(s.Reason), shown(s.ReadOnly), shown(s.Difference), shown(s.KeeperName)
	}
	return list
}

func writers(written *account.Tally) (list []WriterStatus) {
	for _, h := range written.Top(maxHolders) {
		list = append(list, WriterStatus{Account: printable(h.Account), Network: h.Network, Bytes: h.Used})
	}
	return list
}

// storeMetric is a metric of a store, and its value.
type storeMetric struct {
	desc  *prometheus.Desc
	kind  prometheus.ValueType
	value func(*StoreStatus) float64
}

// storeCollector exports what the status says about a store.
type storeCollector struct {
	metrics []storeMetric
	lost    *prometheus.Desc
	alarm   *prometheus.Desc
	written *prometheus.Desc
}

func newStoreCollector() *storeCollector {
	c := &storeCollector{
		lost:    prometheus.NewDesc("etcd_tlsproxy_store_lost_responses_total", "Writes whose response from etcd was lost, by what became of them (executed, not_executed, unknown). Those that were not executed were sent again, or refused.", []string{"outcome"}, nil),
		alarm:   prometheus.NewDesc("etcd_tlsproxy_store_alarm", "1 while etcd has raised an alarm (no_space: it refuses all writes; corrupt: a member differs from the others), else 0.", []string{"alarm"}, nil),
		written: prometheus.NewDesc("etcd_tlsproxy_store_written_bytes_total", "What writes of clients of this proxy have added to etcd, in bytes, about. A compaction removes what was overwritten.", nil, nil),
	}
	add := func(kind prometheus.ValueType, name, help string, value func(*StoreStatus) float64) {
		c.metrics = append(c.metrics, storeMetric{prometheus.NewDesc("etcd_tlsproxy_store_"+name, help, nil, nil), kind, value})
	}
	gauge := func(name, help string, value func(*StoreStatus) float64) {
		add(prometheus.GaugeValue, name, help, value)
	}
	counter := func(name, help string, value func(*StoreStatus) float64) {
		add(prometheus.CounterValue, name, help, value)
	}
	gauge("serving", "1 if reads are answered from the v3 store, else 0. This and the other series of the store are missing with the v2 API.", func(s *StoreStatus) float64 { return one(s.Serving) })
	gauge("read_only", "1 if this program is too old to write the v3 store, so that it refuses writes, else 0.", func(s *StoreStatus) float64 { return one(s.ReadOnly != "") })
	gauge("behind_seconds", "Time since the events of the store were last followed; 0 while they are.", func(s *StoreStatus) float64 { return s.Behind })
	gauge("behind_revisions", "Revisions that etcd has shown and that are not in the copy of the store yet.", func(s *StoreStatus) float64 { return float64(s.BehindRevisions) })
	gauge("nodes", "Files and directories in the store.", func(s *StoreStatus) float64 { return float64(s.Nodes) })
	gauge("bytes", "Memory that the copy of the store and its history need, about.", func(s *StoreStatus) float64 { return float64(s.Bytes) })
	gauge("keeper", "1 if this proxy expires nodes for all proxies before the store, and compacts etcd, else 0.", func(s *StoreStatus) float64 { return one(s.Keeper) })
	gauge("no_keeper_since_timestamp_seconds", "Time since which no proxy expires nodes and compacts etcd, in seconds since the epoch; 0 while one does.", func(s *StoreStatus) float64 { return timestamp(s.NoKeeperSince) })
	gauge("clocks_apart", "Other proxies whose clock differs from that of this one, if it expires nodes.", func(s *StoreStatus) float64 { return float64(s.ClocksApart) })
	counter("expired_total", "Nodes that this proxy has expired.", func(s *StoreStatus) float64 { return float64(s.Expired) })
	gauge("expiry_late_seconds", "Time for which the node that is due first has been due, by the clock of this proxy; 0 if none is.", func(s *StoreStatus) float64 { return s.Late })
	counter("loads_total", "Times that the copy of the store was loaded. Each after the first has broken off all watches.", func(s *StoreStatus) float64 { return float64(s.Loads) })
	counter("conflicts_total", "Times that a write was planned again because the store had changed.", func(s *StoreStatus) float64 { return float64(s.Conflicts) })
	counter("barrier_waits_total", "Quorum reads and refusals that waited until the copy was as fresh as etcd.", func(s *StoreStatus) float64 { return float64(s.BarrierWaits) })
	counter("barrier_wait_seconds_total", "Sum of the waits of quorum reads and refusals until the copy was as fresh as etcd.", func(s *StoreStatus) float64 { return s.BarrierSeconds })
	counter("barrier_reads_total", "Reads of etcd for quorum reads and refusals. All that wait at the same time share one.", func(s *StoreStatus) float64 { return float64(s.BarrierReads) })
	counter("fences_total", "Times that the proxy put the key of its session again: behind writes whose response was lost, to find out what became of them, and for a proxy that begins to expire nodes, which wants to know the time.", func(s *StoreStatus) float64 { return float64(s.Fences) })
	gauge("audited_timestamp_seconds", "Time at which the copy was last compared with the store, in seconds since the epoch; 0 if it was not yet.", func(s *StoreStatus) float64 { return timestamp(s.LastAudit) })
	counter("audit_differences_total", "Comparisons of the copy with the store that found a difference.", func(s *StoreStatus) float64 { return float64(s.Differences) })
	counter("audit_mended_total", "Differences after which the copy was loaded again.", func(s *StoreStatus) float64 { return float64(s.Mended) })
	gauge("compacted_revision", "Revision up to which this proxy has compacted etcd; 0 if it has not.", func(s *StoreStatus) float64 { return float64(s.Compacted) })
	gauge("compacted_timestamp_seconds", "Time at which this proxy last compacted etcd, in seconds since the epoch; 0 if it has not.", func(s *StoreStatus) float64 { return timestamp(s.CompactedAt) })
	gauge("not_compacted_since_timestamp_seconds", "Time since which this proxy cannot compact etcd although it expires nodes, in seconds since the epoch; 0 if it can.", func(s *StoreStatus) float64 { return timestamp(s.NotCompactedSince) })
	gauge("file_bytes", "Size of the file of the member in use, which counts for etcd's quota.", func(s *StoreStatus) float64 { return float64(s.FileBytes) })
	gauge("used_bytes", "Part of the file of the member in use that holds data.", func(s *StoreStatus) float64 { return float64(s.UsedBytes) })
	gauge("quota_bytes", "Size of the file at which etcd refuses writes: what etcd says, or upstream.quota_bytes before etcd 3.6.", func(s *StoreStatus) float64 { return float64(s.QuotaBytes) })
	return c
}

func (c *storeCollector) describe(descs chan<- *prometheus.Desc) {
	for _, m := range c.metrics {
		descs <- m.desc
	}
	descs <- c.lost
	descs <- c.alarm
	descs <- c.written
}

func (c *storeCollector) collect(out chan<- prometheus.Metric, s *StoreStatus, written int64) {
	out <- prometheus.MustNewConstMetric(c.written, prometheus.CounterValue, float64(written))
	for _, m := range c.metrics {
		out <- prometheus.MustNewConstMetric(m.desc, m.kind, m.value(s))
	}
	for outcome, n := range map[string]int64{"executed": s.LostExecuted, "not_executed": s.LostNotExecuted, "unknown": s.LostUnknown} {
		out <- prometheus.MustNewConstMetric(c.lost, prometheus.CounterValue, float64(n), outcome)
	}
	for alarm, raised := range map[string]bool{"no_space": s.Alarm == "no space", "corrupt": s.Alarm == "corrupt"} {
		out <- prometheus.MustNewConstMetric(c.alarm, prometheus.GaugeValue, one(raised), alarm)
	}
}

// ChangeoverStatus is the place of this proxy in a changeover from the v2 API to the v3 store.
type ChangeoverStatus struct {
	Phase     string    `json:"phase"`      // who takes writes: "v2", "v3", "frozen" (they wait) or "unknown" (they wait, too)
	Since     time.Time `json:"since"`      // when the phase began
	Reason    string    `json:"reason"`     // why it is unknown
	Tree      bool      `json:"tree"`       // reads are answered from the v3 store
	Held      int64     `json:"held"`       // writes that wait now
	HeldTotal int64     `json:"held_total"` // writes that have waited
	Refused   int64     `json:"refused"`    // writes that waited for too long, and were refused
	Unknown   int64     `json:"unknown"`    // writes that etcd has executed, and that are perhaps not in the tree
}

// phases are the values of the label phase.
var phases = []string{"v2", "frozen", "v3", "unknown"}

// changeoverCollector exports what the status says about a changeover.
type changeoverCollector struct {
	phase, held, heldTotal, refused, unknown *prometheus.Desc
}

func newChangeoverCollector() *changeoverCollector {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc("etcd_tlsproxy_changeover_"+name, help, labels, nil)
	}
	return &changeoverCollector{
		phase:     desc("phase", "1 for who takes writes (v2, v3; frozen and unknown: nobody does, and they wait), else 0. This and the other series of a changeover are missing unless upstream.api is \"auto\".", "phase"),
		held:      desc("held_writes", "Writes that wait until the v2 API or the v3 store takes writes."),
		heldTotal: desc("held_writes_total", "Writes that have waited for that."),
		refused:   desc("refused_writes_total", "Writes that waited for too long, and were refused. They were not carried out."),
		unknown:   desc("unknown_writes_total", "Writes that the v2 API has executed, and that are perhaps not in the v3 store."),
	}
}

func (c *changeoverCollector) describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{c.phase, c.held, c.heldTotal, c.refused, c.unknown} {
		out <- d
	}
}

func (c *changeoverCollector) collect(out chan<- prometheus.Metric, s *ChangeoverStatus) {
	for _, phase := range phases {
		out <- prometheus.MustNewConstMetric(c.phase, prometheus.GaugeValue, one(s.Phase == phase), phase)
	}
	out <- prometheus.MustNewConstMetric(c.held, prometheus.GaugeValue, float64(s.Held))
	for desc, value := range map[*prometheus.Desc]int64{c.heldTotal: s.HeldTotal, c.refused: s.Refused, c.unknown: s.Unknown} {
		out <- prometheus.MustNewConstMetric(desc, prometheus.CounterValue, float64(value))
	}
}

// shownChangeovers returns them with texts that are safe to show: others have written to the store.
func shownChangeovers(all []ChangeoverStatus) []ChangeoverStatus {
	list := append([]ChangeoverStatus{}, all...)
	for i := range list {
		list[i].Reason = shown(list[i].Reason)
	}
	return list
}

package observe

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// ShadowStatus is the state of the shadow: a copy of the tree in a v3 store that follows the v2 API, with which
// answers of the v2 API are compared.
type ShadowStatus struct {
	Prefix         string    `json:"prefix"`          // that of the copy
	SamplePercent  float64   `json:"sample_percent"`  // the share of the answers that is compared
	Following      bool      `json:"following"`       // the copy follows the v2 API
	Reason         string    `json:"reason"`          // why not
	Lost           bool      `json:"lost"`            // it never can again: another rehearsal is needed
	Appends        bool      `json:"appends"`         // this proxy makes the changes of the copy for all of them
	Copied         uint64    `json:"copied"`          // index of the v2 API at which the copy was made; 0 if there is none
	Index          uint64    `json:"index"`           // index of the last event that the copy has
	Events         int       `json:"events_waiting"`  // events that this proxy has read and that are not in the copy yet
	Samples        int       `json:"samples_waiting"` // answers that wait for the copy to have their index
	Bytes          int64     `json:"bytes"`           // memory of what waits
	ComparedReads  int64     `json:"compared_reads"`  // answers to reads that were compared
	ComparedWrites int64     `json:"compared_writes"` // answers to writes that were compared
	Skipped        int64     `json:"skipped"`         // answers that were chosen, and not compared
	Differing      int64     `json:"differing"`       // differences
	LastDifference time.Time `json:"last_difference"` // when the last one was found; the zero time if there was none
	// SkippedBy counts them by the reason: full (no room), large (more than 1 MiB), behind (the copy did not have their
	// index in time, or there is none), late (it was past their index, and the key has changed since), refresh (they
	// are about a refresh, of which no event tells) or other (they do not depend on keys, such as that there is no leader).
	SkippedBy []ShadowCount `json:"skipped_by"`
	// DifferingBy counts them by their kind: verdict (one refuses, or for another reason), action, nodes (one has a node
	// that the other has not), value, index or expiry.
	DifferingBy []ShadowCount `json:"differing_by"`
	// First has the first differences, at most 20.
	First []ShadowDifference `json:"first"`
}

// ShadowCount is a number of answers of one sort.
type ShadowCount struct {
	Of      string `json:"of"`      // the reason or the kind
	Answers int64  `json:"answers"` // how many there were
}

// ShadowDifference is a difference between an answer and what the copy would have answered.
type ShadowDifference struct {
	Time   time.Time `json:"time"`   // when it was found
	Kind   string    `json:"kind"`   // the kind, as in differing_by
	Method string    `json:"method"` // that of the request; empty if an event of the v2 API did not fit the copy
	Key    string    `json:"key"`    // the key of the request
	What   string    `json:"what"`   // what differs, without values
}

// shownShadows returns them with texts that are safe to show: clients have chosen the keys.
func shownShadows(all []ShadowStatus) []ShadowStatus {
	list := append([]ShadowStatus{}, all...)
	for i := range list {
		s := &list[i]
		s.Reason = shown(s.Reason)
		first := append([]ShadowDifference{}, s.First...)
		for j := range first {
			first[j].Key, first[j].What = printable(first[j].Key), shown(first[j].What)
		}
		s.First = first
	}
	return list
}

// shadowCollector exports what the status says about a shadow.
type shadowCollector struct {
	following, lost, appends, index, events, bytes *prometheus.Desc
	compared, skipped, differences                 *prometheus.Desc
}

func newShadowCollector() *shadowCollector {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc("etcd_tlsproxy_shadow_"+name, help, labels, nil)
	}
	return &shadowCollector{
		following:   desc("following", "1 if the copy of the tree in a v3 store follows the v2 API, else 0. This and the other series of the shadow are missing unless shadow.sample is set."),
		lost:        desc("lost", "1 if the copy can never follow again, so that another rehearsal is needed, else 0."),
		appends:     desc("appends", "1 if this proxy makes the changes of the copy for all proxies, else 0."),
		index:       desc("index", "Index of the last event of the v2 API that the copy has."),
		events:      desc("waiting_events", "Events of the v2 API that the proxy has read and that are not in the copy yet."),
		bytes:       desc("bytes", "Memory of events and answers that wait."),
		compared:    desc("compared_total", "Answers of the v2 API that were compared with what the copy would have answered, by access (read, write).", "access"),
		skipped:     desc("skipped_total", "Answers that were chosen and not compared, by reason: full (no room), large, behind (the copy did not have their index in time), late (the key has changed since), refresh (of which no event tells) or other.", "reason"),
		differences: desc("differences_total", "Differences that were found, by kind: verdict (one refuses, or for another reason), action, nodes, value, index or expiry.", "kind"),
	}
}

func (c *shadowCollector) describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{c.following, c.lost, c.appends, c.index, c.events, c.bytes, c.compared, c.skipped, c.differences} {
		out <- d
	}
}

func (c *shadowCollector) collect(out chan<- prometheus.Metric, s *ShadowStatus) {
	for desc, value := range map[*prometheus.Desc]float64{c.following: one(s.Following), c.lost: one(s.Lost), c.appends: one(s.Appends),
		c.index: float64(s.Index), c.events: float64(s.Events), c.bytes: float64(s.Bytes)} {
		out <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, value)
	}
	counter := func(desc *prometheus.Desc, n int64, label string) {
		out <- prometheus.MustNewConstMetric(desc, prometheus.CounterValue, float64(n), label)
	}
	counter(c.compared, s.ComparedReads, "read")
	counter(c.compared, s.ComparedWrites, "write")
	for _, by := range s.SkippedBy {
		counter(c.skipped, by.Answers, by.Of)
	}
	for _, by := range s.DifferingBy {
		counter(c.differences, by.Answers, by.Of)
	}
}

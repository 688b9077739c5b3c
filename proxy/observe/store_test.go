package observe

import (
	"maps"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"etcd-tlsproxy/proxy/account"
)

// storeMetrics collects the metrics of a store, by name and label.
type storeMetrics struct {
	*storeCollector
	status  *StoreStatus
	written int64
}

func (m storeMetrics) Describe(descs chan<- *prometheus.Desc) { m.describe(descs) }
func (m storeMetrics) Collect(metrics chan<- prometheus.Metric) {
	m.collect(metrics, m.status, m.written)
}

func TestEachFigureOfAStoreHasItsMetric(t *testing.T) {
	at := func(second int64) time.Time { return time.Unix(second, 0) }
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(storeMetrics{newStoreCollector(), &StoreStatus{
		Serving: true, ReadOnly: "it is too old", Keeper: true, Behind: 2, BehindRevisions: 3, Nodes: 4, Bytes: 5, NoKeeperSince: at(6), ClocksApart: 7, Expired: 8, Late: 9, Loads: 10, Conflicts: 11,
		BarrierWaits: 12, BarrierSeconds: 13, BarrierReads: 14, Fences: 15, LastAudit: at(16), Differences: 17, Mended: 18, Compacted: 19, CompactedAt: at(20), NotCompactedSince: at(21),
		FileBytes: 22, UsedBytes: 23, QuotaBytes: 24, LostExecuted: 25, LostNotExecuted: 26, LostUnknown: 27, Alarm: "corrupt",
	}, 28})
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]float64{}
	for _, family := range families {
		for _, m := range family.GetMetric() {
			name := strings.TrimPrefix(family.GetName(), "etcd_tlsproxy_store_")
			for _, label := range m.GetLabel() {
				name += " " + label.GetValue()
			}
			got[name] = m.GetGauge().GetValue() + m.GetCounter().GetValue()
			if counts := m.Counter != nil; counts != strings.HasSuffix(family.GetName(), "_total") {
				t.Errorf("%s is a counter: %t, want that of those whose name ends in _total", family.GetName(), counts)
			}
		}
	}
	want := map[string]float64{
		"serving": 1, "read_only": 1, "keeper": 1, "behind_seconds": 2, "behind_revisions": 3, "nodes": 4, "bytes": 5, "no_keeper_since_timestamp_seconds": 6, "clocks_apart": 7, "expired_total": 8,
		"expiry_late_seconds": 9, "loads_total": 10, "conflicts_total": 11, "barrier_waits_total": 12, "barrier_wait_seconds_total": 13, "barrier_reads_total": 14, "fences_total": 15,
		"audited_timestamp_seconds": 16, "audit_differences_total": 17, "audit_mended_total": 18, "compacted_revision": 19, "compacted_timestamp_seconds": 20,
		"not_compacted_since_timestamp_seconds": 21, "file_bytes": 22, "used_bytes": 23, "quota_bytes": 24, "lost_responses_total executed": 25, "lost_responses_total not_executed": 26,
		"lost_responses_total unknown": 27, "written_bytes_total": 28, "alarm corrupt": 1, "alarm no_space": 0,
	}
	if !maps.Equal(got, want) {
		t.Errorf("got the metrics %v, want %v", got, want)
	}
}

// TestWhatOthersHaveWrittenIsSafeToShow has texts that another proxy, or a client of v3, could have chosen.
func TestWhatOthersHaveWrittenIsSafeToShow(t *testing.T) {
	const hostile = "a\u202eb"
	stores := []StoreStatus{{Reason: hostile, ReadOnly: hostile, Difference: hostile, KeeperName: hostile + strings.Repeat("x", 1000)}}
	got := shownStores(stores)[0]
	for _, text := range []string{got.Reason, got.ReadOnly, got.Difference, got.KeeperName} {
		if !strings.HasPrefix(text, `a\u202eb`) || len(text) > 300 {
			t.Errorf("got %q, want a short text without runes that do not print", text)
		}
	}
	if stores[0].Reason != hostile {
		t.Error("the original has changed")
	}
	var written account.Tally
	client := account.NewTable().User("conftool"+hostile, netip.MustParseAddr("192.0.2.7"))
	defer client.Close()
	written.Add(client, 7)
	if got := writers(&written); len(got) != 1 || got[0] != (WriterStatus{`conftoola\u202eb from 192.0.2.0/24`, "192.0.2.0/24", 7}) {
		t.Errorf("got the writers %+v, want conftool with 7 bytes", got)
	}
}

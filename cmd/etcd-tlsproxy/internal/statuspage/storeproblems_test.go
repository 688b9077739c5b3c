package statuspage

import (
	"slices"
	"testing"
	"time"

	"etcd-tlsproxy/proxy/observe"
)

func TestTheProblemsOfAStore(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	const at = "2026-01-02 03:00:00"
	before := time.Date(2026, 1, 2, 3, 0, 0, 0, time.UTC)
	for name, c := range map[string]struct {
		change func(*observe.StoreStatus)
		want   []string
	}{
		"all is well": {func(*observe.StoreStatus) {}, nil},
		"not served": {func(s *observe.StoreStatus) { s.Serving, s.Session, s.Reason, s.Behind = false, false, "no tree", 60 },
			[]string{"Keys are not served from the v3 store: no tree."}},
		"served from an old copy": {func(s *observe.StoreStatus) { s.Behind, s.Session = 300, false },
			[]string{"The events of the v3 store have not been followed for 5 min: keys are read from an older copy, and writes fail."}},
		"on the way to another member": {func(s *observe.StoreStatus) { s.Behind = 4.9 }, nil},
		"without a session":            {func(s *observe.StoreStatus) { s.Session = false }, []string{"The proxy has no session at the v3 store: writes fail."}},
		"too old to write": {func(s *observe.StoreStatus) { s.ReadOnly = "it needs version 2" },
			[]string{"Keys of the v3 store are read only, and all writes are refused: it needs version 2."}},
		"full": {func(s *observe.StoreStatus) { s.Alarm, s.QuotaPercent = "no space", 100 },
			[]string{"etcd has no space left: it refuses all writes, removals too. The manual says how to make space: A store that is full."}},
		"corrupt": {func(s *observe.StoreStatus) { s.Alarm = "corrupt" },
			[]string{"etcd has raised the alarm CORRUPT: the data of its members differ. Replace the member that differs from the others."}},
		"nearly full": {func(s *observe.StoreStatus) {
			s.QuotaPercent, s.FileBytes, s.UsedBytes, s.QuotaBytes = 80, 80<<20, 12<<20, 100<<20
		},
			[]string{"The file of the v3 store is near etcd's quota, at which all writes are refused: 80 MiB of 100 MiB, of which 12 MiB are in use. The manual says how to make space: A store that is full."}},
		"not nearly full": {func(s *observe.StoreStatus) { s.QuotaPercent = 79.9 }, nil},
		"without a keeper": {func(s *observe.StoreStatus) { s.NoKeeperSince, s.Late = before, 60 },
			[]string{"No proxy expires keys of the v3 store and compacts it since " + at + "."}},
		"an election": {func(s *observe.StoreStatus) { s.NoKeeperSince = now.Add(-14 * time.Second) }, nil},
		"late":        {func(s *observe.StoreStatus) { s.Late = 90 }, []string{"A key of the v3 store that is due has not expired for 1 min."}},
		"not compacted": {func(s *observe.StoreStatus) { s.NotCompactedSince = before },
			[]string{"The history of the v3 store cannot be compacted since " + at + ", so its file grows. The service log has the reason."}},
		"clocks apart": {func(s *observe.StoreStatus) { s.ClocksApart = 2 },
			[]string{"The clocks of other proxies differ from the clock of this one: 2. Keys can expire at the wrong time."}},
		"mended": {func(s *observe.StoreStatus) { s.Differed, s.Difference = before, "the value of /a" },
			[]string{"At " + at + " the copy of the v3 store differed from etcd, and was loaded again: the value of /a."}},
		"mended long ago": {func(s *observe.StoreStatus) { s.Differed, s.Difference = now.Add(-time.Hour), "the value of /a" }, nil},
	} {
		s := &observe.StoreStatus{Serving: true, Session: true, KeeperName: "conf1001", Alarm: "none"}
		c.change(s)
		if got := storeProblems(s, now); !slices.Equal(got, c.want) {
			t.Errorf("%s: got the problems %q, want %q", name, got, c.want)
		}
	}
}

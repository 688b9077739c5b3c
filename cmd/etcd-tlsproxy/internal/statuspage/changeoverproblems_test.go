package statuspage

import (
	"slices"
	"testing"
	"time"

	"etcd-tlsproxy/proxy/observe"
)

func TestTheProblemsOfAChangeover(t *testing.T) {
	const at = "2026-01-02 03:00:00"
	for name, c := range map[string]struct {
		status observe.ChangeoverStatus
		want   []string
	}{
		"before": {observe.ChangeoverStatus{Phase: "v2", HeldTotal: 3, Refused: 2}, nil},
		"after":  {observe.ChangeoverStatus{Phase: "v3", Tree: true, HeldTotal: 3, Refused: 2}, nil},
		"frozen": {observe.ChangeoverStatus{Phase: "frozen", Held: 2},
			[]string{"Writes wait since " + at + ", because a command moves the keys between the v2 API and the v3 store. If the command is gone, they go on within 5 s."}},
		"unknown": {observe.ChangeoverStatus{Phase: "unknown", Reason: "etcd is away"},
			[]string{"Writes wait since " + at + ", because it is not known whether the v2 API or the v3 store has the keys: etcd is away."}},
		"a write that may be lost": {observe.ChangeoverStatus{Phase: "v3", Unknown: 1},
			[]string{"Writes that the v2 API has executed are perhaps not in the v3 store: 1 since the start. The audit log has them, with unknown_outcome."}},
	} {
		c.status.Since = time.Date(2026, 1, 2, 3, 0, 0, 0, time.UTC)
		if got := changeoverProblems(&c.status); !slices.Equal(got, c.want) {
			t.Errorf("%s: got the problems %q, want %q", name, got, c.want)
		}
	}
}

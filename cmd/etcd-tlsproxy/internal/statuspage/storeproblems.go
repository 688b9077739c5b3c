package statuspage

import (
	"fmt"
	"time"

	"etcd-tlsproxy/proxy/observe"
)

const (
	// lagSeconds is for how long the events of a store may not be followed before it is a problem. The way
	// to another member takes less.
	lagSeconds = 5
	// lateSeconds is how late nodes may expire before it is a problem. The next keeper is elected sooner.
	lateSeconds = 30
	// noKeeper is for how long there may be no keeper.
	noKeeper = 15 * time.Second
	// differedFor is for how long a difference that was mended is shown among the problems.
	differedFor = time.Hour
)

// storeProblems lists what needs an operator's attention at a v3 store.
func storeProblems(s *observe.StoreStatus, now time.Time) (list []string) {
	add := func(format string, args ...any) { list = append(list, fmt.Sprintf(format, args...)) }
	switch {
	case !s.Serving:
		add("Keys are not served from the v3 store: %s.", s.Reason)
	case s.ReadOnly != "":
		add("Keys of the v3 store are read only, and all writes are refused: %s.", s.ReadOnly)
	case s.Behind >= lagSeconds:
		add("The events of the v3 store have not been followed for %s: keys are read from an older copy, and writes fail.", age(s.Behind))
	case !s.Session:
		add("The proxy has no session at the v3 store: writes fail.")
	}
	switch s.Alarm {
	case "no space":
		add("etcd has no space left: it refuses all writes, removals too. The manual says how to make space: A store that is full.")
	case "corrupt":
		add("etcd has raised the alarm CORRUPT: the data of its members differ. Replace the member that differs from the others.")
	default:
		if s.QuotaPercent >= nearPercent {
			add("The file of the v3 store is near etcd's quota, at which all writes are refused: %s of %s, of which %s are in use. The manual says how to make space: A store that is full.",
				size(float64(s.FileBytes)), size(float64(s.QuotaBytes)), size(float64(s.UsedBytes)))
		}
	}
	if since := s.NoKeeperSince; !since.IsZero() && now.Sub(since) >= noKeeper {
		add("No proxy expires keys of the v3 store and compacts it since %s.", since.UTC().Format(time.DateTime))
	} else if s.Late >= lateSeconds {
		add("A key of the v3 store that is due has not expired for %s.", age(s.Late))
	}
	if !s.NotCompactedSince.IsZero() {
		add("The history of the v3 store cannot be compacted since %s, so its file grows. The service log has the reason.", s.NotCompactedSince.UTC().Format(time.DateTime))
	}
	if s.ClocksApart > 0 {
		add("The clocks of other proxies differ from the clock of this one: %d. Keys can expire at the wrong time.", s.ClocksApart)
	}
	if !s.Differed.IsZero() && now.Sub(s.Differed) < differedFor {
		add("At %s the copy of the v3 store differed from etcd, and was loaded again: %s.", s.Differed.UTC().Format(time.DateTime), s.Difference)
	}
	return list
}

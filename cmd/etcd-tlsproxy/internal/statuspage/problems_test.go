package statuspage

import (
	"slices"
	"strings"
	"testing"
	"time"

	"etcd-tlsproxy/proxy/observe"
)

// near returns the use of a limit of 1,000 now, and the highest one.
func near(used, highest int64) []observe.LimitStatus {
	l := observe.NewLimitStatus("watches", "", used, 1000)
	l.Highest, l.HighestPercent = highest, observe.Float(highest)/10
	return []observe.LimitStatus{l}
}

func TestTheFirstBoxSaysWhatClientsGet(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	down := []observe.EndpointStatus{{Endpoint: "http://127.0.0.1:2379", Health: "down", Error: "no answer", Since: at}}
	answers := "Requests get 503 at once or, if etcd accepts them and does not answer, 504 after their wait for a turn and limits.upstream_timeout."
	for name, c := range map[string]struct {
		change func(*Status)
		want   []string
	}{
		"all is well":          {func(*Status) {}, nil},
		"no etcd":              {func(s *Status) { s.Upstream.Endpoints = down }, []string{"etcd at http://127.0.0.1:2379 was first found not to be up at 2026-01-02 03:04:05: no answer.", "No etcd is available since 2026-01-02 03:04:05 at the latest, when the last endpoint was found not to be up. " + answers}},
		"no etcd for requests": {func(s *Status) { s.Upstream.Endpoints, s.Upstream.Since = down, at }, []string{"etcd at http://127.0.0.1:2379 was first found not to be up at 2026-01-02 03:04:05: no answer.", "No etcd is available: none has answered since 2026-01-02 03:04:05. " + answers}},
		"two mistakes on disk": {func(s *Status) {
			s.Config.OK, s.Config.Old, s.Config.Error = false, []string{"other settings"}, "a.toml:1: one\na.toml:2: two"
		}, []string{"The configuration on disk is not in force as a whole. In force as before: other settings; the rest was applied. The reason: a.toml:1: one; a.toml:2: two."}},
		"a file that is no TOML": {func(s *Status) {
			s.Config.OK, s.Config.NothingApplied, s.Config.Error, s.Config.Old = false, true, "a.toml:1: one", []string{"settings of certificates and client CAs", "users, rules and surfaces", "other settings"}
		}, []string{"The configuration on disk is not in force as a whole. In force as before: settings of certificates and client CAs; users, rules and surfaces; other settings. The reason: a.toml:1: one."}},
		"a mistake, and a setting that waits": {func(s *Status) {
			s.Config.OK, s.Config.Old, s.Config.Error, s.Config.RestartPending = false, []string{"users, rules and surfaces"}, "a.toml:1: one", []string{"limits.watches is 7, and 8 after a restart"}
		}, []string{
			"The configuration on disk is not in force as a whole. In force as before: users, rules and surfaces; the rest was applied. The reason: a.toml:1: one.",
			"A changed setting waits for a restart, which fails while the configuration on disk has a mistake: limits.watches is 7, and 8 after a restart.",
		}},
		"a lost audit log":         {func(s *Status) { s.Logs[0].Failing = true }, []string{"The audit log cannot be written since 2026-01-02 03:04:05: full. Records lost since the start: 0."}},
		"a lost audit log, needed": {func(s *Status) { s.Logs[0].Failing, s.Config.AuditRequired = true, true }, []string{"The audit log cannot be written since 2026-01-02 03:04:05: full. Records lost since the start: 0.", "All writes are refused until the audit log can be written, because log.audit_required is set."}},
		"a lost access log":        {func(s *Status) { s.Logs[1].Failing, s.Config.AuditRequired = true, true }, []string{"The access log cannot be written since 2026-01-02 03:04:05: full. Records lost since the start: 0."}},
		"a pool with a queue":      {func(s *Status) { s.Pools[0].Waiting, s.Pools[0].WaitingSince = 1200, at }, []string{"Clients wait for their turn at the pool requests, a part of upstream_requests, since 2026-01-02 03:04:05. Shared by all clients says who holds it, and how many wait now."}},
		"a queue of one moment":    {func(s *Status) { s.Pools[0].Waiting = 1200 }, nil},
		"etcd answers, and the check of the endpoint is older": {func(s *Status) {
			s.Upstream.Endpoints, s.Upstream.Since, s.Upstream.Recovered = down, at, at.Add(time.Second)
		}, []string{"etcd at http://127.0.0.1:2379 was first found not to be up at 2026-01-02 03:04:05: no answer.", "No etcd answered after 2026-01-02 03:04:05, and etcd answers again since 2026-01-02 03:04:06. The endpoints will be checked again within seconds."}},
		"a limit that is near":  {func(s *Status) { s.Limits = near(900, 950) }, []string{"The limit watches is near: 900 of 1,000 are in use."}},
		"a limit that was near": {func(s *Status) { s.Limits = near(100, 950) }, []string{"The limit watches was near in the last 10 minutes: 950 of 1,000 were in use."}},
		"a limit at which one client is refused": {func(s *Status) {
			s.Limits = near(875, 875)
			s.Pools = []observe.PoolStatus{{Pool: "watches", Total: 1000, Reserve: 125, Used: 875, Evicted: 6, Largest: []observe.PoolHolder{{Account: "a from 127.0.0.0/24", Used: 875}}}}
		}, []string{"The limit watches is reached, mostly by a from 127.0.0.0/24 with 875: 875 of 1,000 are in use, and the rest is for clients below their share. Then new watches of clients at or above their share get status 503 after two seconds: 6 since the start."}},
		"a limit that all share": {func(s *Status) {
			s.Limits = near(1000, 1000)
			s.Pools = []observe.PoolStatus{{Pool: "connections", Total: 1000, Reserve: 125, Used: 1000}}
			s.Limits[0].Name = "connections"
		}, []string{"The limit connections is reached: 1,000 of 1,000 are in use. Then for a new connection one of a client above its share is closed, or the new one."}},
		"a limit at which a client was refused": {func(s *Status) {
			s.Limits = near(100, 875)
			s.Pools = []observe.PoolStatus{{Pool: "watches", Total: 1000, Reserve: 125, Used: 100, Evicted: 6}}
		}, []string{"The limit watches was reached in the last 10 minutes: 875 of 1,000 were in use. Then new watches of clients at or above their share get status 503 after two seconds: 6 since the start."}},
		"a limit at which nobody is refused yet": {func(s *Status) {
			s.Limits = near(874, 874)
			s.Pools = []observe.PoolStatus{{Pool: "watches", Total: 1000, Reserve: 125, Used: 874}}
		}, []string{"The limit watches is near: 874 of 1,000 are in use."}},
		"a part of a limit with a queue": {func(s *Status) {
			s.Pools[0].Pool, s.Pools[0].WaitingSince = "proposals", at
		}, []string{"Clients wait for their turn at the pool proposals, a part of upstream_requests, since 2026-01-02 03:04:05. Shared by all clients says who holds it, and how many wait now."}},
		"a part of a limit that refuses": {func(s *Status) {
			s.Limits = near(13, 13)
			s.Limits[0].Name, s.Limits[0].Limit = "upstream_requests", 16
			s.Pools = append(s.Pools, observe.PoolStatus{Pool: "proposals", Total: 12, Reserve: 1, Used: 11, Waiting: 6, Evicted: 13, EvictedAt: at, Largest: []observe.PoolHolder{{Account: "192.0.2.1", Used: 11}}})
		}, []string{"The limit upstream_requests is reached at its part proposals, mostly by 192.0.2.1 with 11: 11 of 12 are in use, and 6 wait. Requests beyond it wait for their turn, and get status 503 after limits.upstream_timeout: 13 since the start."}},
		"a part of a limit that has refused": {func(s *Status) {
			s.Limits = near(100, 950)
			s.Limits[0].Name, s.Time = "upstream_requests", at.Add(time.Minute)
			s.Pools = append(s.Pools, observe.PoolStatus{Pool: "proposals", Total: 12, Reserve: 1, Evicted: 13, EvictedAt: at})
		}, []string{"The limit upstream_requests was reached in the last 10 minutes at its part proposals of 12. Requests beyond it wait for their turn, and get status 503 after limits.upstream_timeout: 13 since the start. The last was at 2026-01-02 03:04:05."}},
		"a part of a limit that refused long ago": {func(s *Status) {
			s.Limits = near(100, 700)
			s.Limits[0].Name, s.Time = "upstream_requests", at.Add(time.Hour)
			s.Pools = append(s.Pools, observe.PoolStatus{Pool: "proposals", Total: 12, Reserve: 1, Evicted: 13, EvictedAt: at})
		}, nil},
		"a limit with room": {func(s *Status) { s.Limits = near(100, 700) }, nil},
		"etcd is back":      {func(s *Status) { s.Upstream.Since = at }, []string{"etcd has not answered every request since 2026-01-02 03:04:05, and an endpoint is up now. The service log has the reason. This line goes once etcd has answered for two seconds."}},
	} {
		s := &Status{Config: Config{OK: true}, Status: &observe.Status{
			State:    "serving",
			Upstream: observe.Upstream{LeaderID: "1", Endpoints: []observe.EndpointStatus{{Health: "up"}}},
			Logs:     []observe.LogStatus{{Log: "audit", Since: at, Error: "full"}, {Log: "access", Since: at, Error: "full"}},
			Pools:    []observe.PoolStatus{{Pool: "requests", Total: 1, Used: 1}},
		}}
		c.change(s)
		if got := s.problems(); !slices.Equal(got, c.want) {
			t.Errorf("%s: got the problems\n%s\nwant\n%s", name, strings.Join(got, "\n"), strings.Join(c.want, "\n"))
		}
	}
}

package space

import (
	"testing"
	"time"

	"etcd-tlsproxy/proxy/account"
)

const quota = 1000 << 20

func TestTheFullerTheStoreTheFewerMayWrite(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		percent, quota int64
		half           time.Duration
		want           Room
	}{
		{0, quota, 0, ForAll}, {50, quota, time.Hour, ForAll}, {90, 0, time.Hour, ForAll},
		{51, quota, 0, ForAll}, {60, quota, time.Second, ForAll}, // a compaction may help
		{51, quota, 2 * time.Second, ForModest}, {65, quota, time.Hour, ForModest}, {66, quota, time.Hour, ForKnown}, {80, quota, time.Hour, ForKnown},
		{61, quota, 0, ForModest}, {66, quota, 0, ForKnown}, // it had its time
		{81, quota, 0, ForNone}, {120, quota, time.Hour, ForNone},
	} {
		f := Fill{Used: c.percent * quota / 100, Quota: c.quota, Half: c.half}
		if got := f.Room(); got != c.want {
			t.Errorf("%d %% of %d for %s: got the room %d, want %d", c.percent, c.quota, c.half, got, c.want)
		}
	}
}

func TestWhoWroteMostIsRefusedFirst(t *testing.T) {
	t.Parallel()
	const most = 800 << 20
	at := func(percent int64) Fill { return Fill{Used: percent * quota / 100, Quota: quota, Half: time.Hour} }
	for what, c := range map[string]struct {
		fill Fill
		w    account.Standing
		want bool
	}{
		"who wrote most":                                {at(51), account.Standing{Own: most, Network: most, Accounts: 1, Most: most}, true},
		"who wrote a half of that":                      {at(64), account.Standing{Own: most / 2, Network: most / 2, Accounts: 1, Most: most}, false},
		"who wrote a half of that, when it is fuller":   {at(66), account.Standing{Own: most / 2, Network: most / 2, Accounts: 1, Most: most}, true},
		"who wrote little":                              {at(79), account.Standing{Own: 31 << 20, Network: 31 << 20, Accounts: 1, Most: most}, false},
		"who wrote most, which is little":               {at(79), account.Standing{Own: 31 << 20, Network: 31 << 20, Accounts: 1, Most: 31 << 20}, false},
		"one of many in a network that wrote most":      {at(51), account.Standing{Own: most / 1024, Network: most, Accounts: 1024, Most: most}, true},
		"who wrote little in a network that wrote most": {at(79), account.Standing{Own: 1 << 20, Network: most, Accounts: 2, Most: most}, false},
		"who has not written":                           {at(79), account.Standing{Most: most}, false},
		"nobody":                                        {at(79), account.Standing{}, false},
	} {
		if got := c.fill.Greedy(c.w); got != c.want {
			t.Errorf("%s: got %t, want %t", what, got, c.want)
		}
	}
}

package space

import (
	"time"

	"etcd-tlsproxy/proxy/account"
)

// Fill is how full the store is.
type Fill struct {
	// Used is about how many bytes are in use, and Quota how many may be; 0 if that is not known.
	Used, Quota int64
	// Half is for how long more than a half of the quota is in use.
	Half time.Duration
}

// Room is whose writes the store has room for.
type Room int

const (
	// ForAll: everybody may write.
	ForAll Room = iota
	// ForModest: who has written little may write.
	ForModest
	// ForKnown: who has written little and needs a login for it may write.
	ForKnown
	// ForNone: only removals are carried out.
	ForNone
)

const (
	// knownShare and noneShare are the parts of the quota, in percent, above which there is room for those
	// with a login only, and for nobody.
	knownShare, noneShare = 65, 80
	// compactPatience is for how long more than a half is in use before anybody is refused, and patientShare
	// the part of the quota, in percent, up to which that applies. The keeper compacts within a second, at a
	// quarter of the quota, and etcd needs a moment for it.
	compactPatience = 2 * time.Second
	patientShare    = 60
	// modestShare is the part of the quota, as a divisor, that everybody may write within the time that a
	// tally remembers. A store that is more than half full for good would otherwise refuse whoever happens to
	// have written most, even if that is next to nothing.
	modestShare = 32
)

// Room returns whose writes there is room for.
func (f Fill) Room() Room {
	switch used := float64(f.Used) / float64(max(1, f.Quota)) * 100; {
	case f.Quota <= 0:
		return ForAll
	case used > noneShare:
		return ForNone
	case used <= 50, used <= patientShare && f.Half < compactPatience:
		return ForAll
	case used > knownShare:
		return ForKnown
	}
	return ForModest
}

// Greedy reports whether an account has written too much for the store to have room for more. The fuller
// the store is, the less is too much: at a half of the quota what the first one has written, at 80 % nothing.
func (f Fill) Greedy(w account.Standing) bool {
	left := float64(noneShare)/100*float64(f.Quota) - float64(f.Used)
	part := left / (float64(noneShare-50) / 100 * float64(f.Quota))
	network := max(float64(w.Most)*part, float64(f.Quota/modestShare))
	return float64(w.Network) >= network && w.Own*int64(w.Accounts) >= w.Network
}

package space

import (
	"log/slog"
	"sync"
	"time"

	"etcd-tlsproxy/proxy/v2v3/rpc"
)

const (
	// CompactShare is the part of the quota, as a divisor, above which only the history of v2 is kept.
	CompactShare = 4
	// grownShare is the part of the quota, as a divisor, after which a new measurement is wanted.
	grownShare = 32
	// commitLag is how much later than a write etcd counts it in its size, at most: it commits its file ten
	// times a second.
	commitLag = 250 * time.Millisecond
)

// Space is how full the store is. The zero value knows nothing yet.
type Space struct {
	mu   sync.Mutex
	size rpc.Size
	at   time.Time // when that was measured; zero if it was not
	// flying is the sum of the writes that are under way, recent that of those that were carried out since
	// turned, and before that of those in the time before. All of them may be missing in the measured size.
	flying, recent, before int64
	turned                 time.Time
	// half is since when more than a half of the quota is in use; zero if it is not.
	half time.Time
}

// Measured takes note of a measurement, and logs when etcd begins or ends to refuse all writes.
func (s *Space) Measured(size rpc.Size, now time.Time, log *slog.Logger) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.size.NoSpace && !size.NoSpace {
		log.Info("etcd has space again", "bytes", size.File, "quota", size.Quota)
	}
	if size.NoSpace && !s.size.NoSpace {
		tellFull(log)
	}
	s.size, s.at = size, now
	if now.Sub(s.turned) >= commitLag {
		s.recent, s.before, s.turned = 0, s.recent, now
	}
	s.mark(now)
}

// used returns how much may be in use; s.mu is held.
func (s *Space) used() int64 { return s.size.InUse + s.flying + s.recent + s.before }

// mark notes since when more than a half is in use; s.mu is held.
func (s *Space) mark(now time.Time) {
	switch half := 2*s.used() > s.size.Quota; {
	case !half:
		s.half = time.Time{}
	case s.half.IsZero():
		s.half = now
	}
}

// Full takes note that etcd has refused a write for lack of space.
func (s *Space) Full(log *slog.Logger) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.size.NoSpace {
		s.size.NoSpace = true
		tellFull(log)
	}
}

func tellFull(log *slog.Logger) {
	log.Error("etcd has no space left: it refuses all writes, until space is made and the alarm is disarmed; see \"A store that is full\" in etcd-tlsproxy-manual(7)")
}

// Begin takes note of a write that is about to be sent, and reports whether so much was written since the
// last measurement that another one is wanted.
func (s *Space) Begin(bytes int64) (grown bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.flying += bytes
	s.mark(time.Now())
	return s.size.Quota > 0 && s.flying+s.recent > s.size.Quota/grownShare
}

// End takes note of what became of such a write.
func (s *Space) End(bytes int64, executed bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.flying -= bytes
	if executed {
		s.recent += bytes
	}
}

// Size returns what was measured last, and when; the zero time if nothing was.
func (s *Space) Size() (rpc.Size, time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.size, s.at
}

// Fill returns how full the store is.
func (s *Space) Fill(now time.Time) Fill {
	s.mu.Lock()
	defer s.mu.Unlock()
	f := Fill{Used: s.used(), Quota: s.size.Quota}
	if !s.half.IsZero() {
		f.Half = now.Sub(s.half)
	}
	return f
}

package shadow

import (
	"cmp"
	"maps"
	"slices"
	"time"
)

// Status says how a shadow is.
type Status struct {
	Prefix string
	Sample float64
	// Following means that the copy follows the v2 API. Otherwise Reason says why not.
	Following bool
	Reason    string
	// Lost means that the copy never can again: another rehearsal is needed.
	Lost bool
	// Appends means that this proxy appends the events of the v2 API to the copy.
	Appends bool
	// Copied is the index at which the copy was made, and Index that of its last event.
	Copied uint64
	Index  uint64
	// Events and Samples are how many of them wait, and Bytes is the memory that they need.
	Events  int
	Samples int
	Bytes   int64
	// ComparedReads and ComparedWrites count the answers that were compared, Skipped by their reasons those that were
	// not, and Differences those that differed, by their kinds.
	ComparedReads  int64
	ComparedWrites int64
	Skipped        map[Reason]int64
	Differences    map[Kind]int64
	// First are the first differences, and Last is when the last one was found; zero if there was none.
	First []Difference
	Last  time.Time
}

// Differing returns the number of differences.
func (s *Status) Differing() (n int64) {
	for _, of := range s.Differences {
		n += of
	}
	return n
}

// Skipping returns the number of answers that were not compared.
func (s *Status) Skipping() (n int64) {
	for _, of := range s.Skipped {
		n += of
	}
	return n
}

// Status returns how the shadow is.
func (s *Shadow) Status() Status {
	st := Status{Prefix: s.o.Store.Prefix, Sample: float64(s.sample.Load()) / (1 << 63), Appends: s.store.Keeps(),
		Events: s.reader.waitingEvents(), Bytes: s.account.Held(s.pool)}
	store := s.store.Status()
	s.mu.Lock()
	st.Copied, st.Index, st.Samples = s.place.copied, s.place.index, len(s.waiting)+len(s.inbox)
	switch {
	case s.lost != "":
		st.Lost, st.Reason = true, s.lost
	case !store.Serving:
		st.Reason = store.Reason
	case s.unread != "" || s.failure != "":
		st.Reason = cmp.Or(s.unread, s.failure)
	default:
		st.Following = true
	}
	s.mu.Unlock()
	c := s.counts
	c.mu.Lock()
	defer c.mu.Unlock()
	st.ComparedReads, st.ComparedWrites, st.Last = c.reads, c.writes, c.last
	st.Skipped, st.Differences, st.First = maps.Clone(c.skipped), maps.Clone(c.differences), slices.Clone(c.first)
	return st
}

package v2state

import (
	"errors"
	"math"
	"time"

	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/memberhost"
)

// Leftovers are what is left of the v2 API in the files of a member. Etcd 3.6 does not start with any of it.
type Leftovers struct {
	// Snapshot is the name of the newest snapshot, or "" if there is none.
	Snapshot string `json:"snapshot"`
	// Keys is the number of nodes of clients in it, and Users that of etcd's own users and their roles.
	Keys  int `json:"keys"`
	Users int `json:"users"`
	// Requests is the number of requests of the v2 API in the log behind it, reads with a quorum included.
	Requests int `json:"requests"`
}

// None reports whether nothing is left.
func (l *Leftovers) None() bool { return l.Keys+l.Users+l.Requests == 0 }

// leftoverAttempts and leftoverPause bound how often files are read that etcd replaces meanwhile.
const (
	leftoverAttempts = 5
	leftoverPause    = 200 * time.Millisecond
)

// Leftovers returns what is left of the v2 API. The member may run or not.
func (s *Source) Leftovers() (*Leftovers, error) {
	for attempt := 1; ; attempt++ {
		l, err := s.leftovers()
		if attempt == leftoverAttempts || !errors.Is(err, ErrNotYet) {
			return l, err
		}
		time.Sleep(leftoverPause)
	}
}

func (s *Source) leftovers() (*Leftovers, error) {
	tree, name, from, err := s.snapshot(math.MaxUint64)
	if err != nil {
		return nil, err
	}
	log, err := readLog(memberhost.LogOf(s.DataDir, s.WALDir), from)
	if err != nil {
		return nil, err
	}
	state := &State{tree: tree}
	l := &Leftovers{Snapshot: name, Users: len(state.Users()) + len(state.Roles())}
	for range state.Records() {
		l.Keys++
	}
	for _, e := range log.entries { // those that are not committed yet will be, perhaps
		if e.v2 != nil && !ofMembers(e) {
			l.Requests++
		}
	}
	return l, nil
}

// ofMembers reports whether an entry is a request by which etcd records what it knows about members. Etcd 3.6 executes
// these.
func ofMembers(e entry) bool {
	_, member := attributesOf(e.v2.Path)
	return e.v2.Method == "PUT" && (member || e.v2.Path == versionKey)
}

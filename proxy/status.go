package proxy

import "time"

// Status is what a server says of itself to those who operate it. It has keys,
// names of users and addresses, but no value, no password, and no name that a client
// only claimed. The names of its fields in JSON are stable; fields may be added.
//
// Durations end in _ms or _seconds, sizes in _bytes; rates are per second; times are
// RFC 3339. A quantile is null where nothing was measured. Texts that clients or etcd
// chose have what does not print as \u202e, and are cut at 256 bytes.
type Status struct {
	// State is "serving" or "draining".
	State    string `json:"state"`
	ReadOnly bool   `json:"read_only"`

	// Totals count since the start; Windows are the last 10 seconds, minute and 10
	// minutes; History has a value for each 2 seconds of the last 10 minutes.
	Totals  Totals   `json:"totals"`
	Windows []Window `json:"windows"`
	History History  `json:"history"`

	Connections Connections `json:"connections"`
	Watches     Watching    `json:"watches"`
	Sharing     Sharing     `json:"sharing"`
	Upstream    Upstream    `json:"upstream"`

	// Rules is the table, in the order of its prefixes. Of more than 500 rules those
	// with the most requests are told; RulesLeftOut is how many are not.
	Rules        []RuleStatus `json:"rules"`
	RulesLeftOut int          `json:"rules_left_out"`
	// Users are those who were known to a request, the most active first, at most 500;
	// the one without a name stands for all who were not asked or not known.
	Users        []UserStatus `json:"users"`
	UsersLeftOut int          `json:"users_left_out"`
	// Refusals are the last 50 different ones, the latest first.
	Refusals []RefusalStatus `json:"refusals"`

	Certificates []CertificateStatus `json:"certificates"`
	Memory       MemoryStatus        `json:"memory"`
}

// Totals count answered requests.
type Totals struct {
	Reads   uint64 `json:"reads"`
	Writes  uint64 `json:"writes"`
	Watches uint64 `json:"watches"` // that have ended
	Refused uint64 `json:"refused"` // by the proxy, with a status below 500
	Failed  uint64 `json:"failed"`  // with a status from 500 on
	Events  uint64 `json:"events"`  // handed to shared watches
	Bytes   uint64 `json:"bytes"`   // of bodies that were sent to clients
}

// Rates are per second.
type Rates struct {
	Reads   Point `json:"reads"`
	Writes  Point `json:"writes"`
	Refused Point `json:"refused"`
	Failed  Point `json:"failed"`
	Events  Point `json:"events"`
	Bytes   Point `json:"bytes"`
}

// Window sums some time up.
type Window struct {
	Seconds float64 `json:"seconds"`
	Rates
	ReadP50  Point `json:"read_p50_ms"`
	ReadP99  Point `json:"read_p99_ms"`
	WriteP50 Point `json:"write_p50_ms"`
	WriteP99 Point `json:"write_p99_ms"`
}

// History has one value for each sample in each list, the latest last.
type History struct {
	IntervalSeconds float64     `json:"interval_seconds"`
	Times           []time.Time `json:"times"`
	Reads           []Point     `json:"reads"`
	Writes          []Point     `json:"writes"`
	Refused         []Point     `json:"refused"`
	Failed          []Point     `json:"failed"`
	Events          []Point     `json:"events"`
	ReadP50         []Point     `json:"read_p50_ms"`
	ReadP99         []Point     `json:"read_p99_ms"`
	WriteP50        []Point     `json:"write_p50_ms"`
	WriteP99        []Point     `json:"write_p99_ms"`
	Watches         []int64     `json:"watches"`
	Connections     []int64     `json:"connections"`
	Memory          []uint64    `json:"memory_bytes"`
}

// Connections are those of clients.
type Connections struct {
	Open  int64 `json:"open"`
	Limit int   `json:"limit"`
}

// Watching is what watches do.
type Watching struct {
	Running int   `json:"running"`
	Limit   int   `json:"limit"`
	Waiting int64 `json:"waiting"` // of them those that share a watch at etcd
	Hubs    int64 `json:"hubs"`    // the watches at etcd that they share
	// Largest are the hubs with the most watchers, 20 at most.
	Largest []Hub `json:"largest_hubs"`
}

// Hub is one watch at etcd and those who share it.
type Hub struct {
	Key       string `json:"key"`
	Recursive bool   `json:"recursive"`
	Watchers  int    `json:"watchers"`
	Index     uint64 `json:"index"`      // the newest that is known
	Remember  int    `json:"remembered"` // events that late watchers can get
}

// Sharing is what etcd did not have to do.
type Sharing struct {
	Reads  uint64 `json:"reads_saved"`   // answered by a request for others
	Events uint64 `json:"events_shared"` // handed to watchers
	// Misses are watches from an index that was not remembered here.
	Misses uint64 `json:"watch_misses"`
	// ReadsPercent is the share of all reads that etcd was not asked for.
	ReadsPercent Point `json:"reads_saved_percent"`
	// WatchersPerHub is how many watches cost etcd one.
	WatchersPerHub Point `json:"watchers_per_hub"`
}

// RuleStatus is one rule and what the gate decided by it.
type RuleStatus struct {
	Prefix string `json:"prefix"`
	Read   Who    `json:"read"`
	Write  Who    `json:"write"`
	Decisions
}

// Who is who may.
type Who struct {
	Everyone bool     `json:"everyone"`
	Users    []string `json:"users"` // the first 20
	LeftOut  int      `json:"left_out"`
}

// UserStatus is one user, and what the gate decided about them. Known is "password",
// "certificate" or "anonymous"; users whose certificates came when 500 were known
// already are counted together, with Others set.
type UserStatus struct {
	User   string `json:"user"`
	Known  string `json:"known"`
	Others bool   `json:"others"`
	Decisions
}

// Decisions are the gate's.
type Decisions struct {
	ReadsAllowed  uint64 `json:"reads_allowed"`
	ReadsRefused  uint64 `json:"reads_refused"`
	WritesAllowed uint64 `json:"writes_allowed"`
	WritesRefused uint64 `json:"writes_refused"`
}

// RefusalStatus is one or several equal refusals: Times of them from First to Time.
// User is empty unless it was verified, Path and Surface unless the path could be read,
// Key unless it is one's, and Rule unless one decided.
type RefusalStatus struct {
	Time    time.Time `json:"time"`
	First   time.Time `json:"first"`
	Times   uint64    `json:"times"`
	Client  string    `json:"client"`
	User    string    `json:"user"`
	Known   string    `json:"known"`
	Method  string    `json:"method"`
	Surface string    `json:"surface"`
	Path    string    `json:"path"`
	Key     string    `json:"key"`
	Rule    string    `json:"rule"`
	Status  int       `json:"status"`
	Reason  string    `json:"reason"`
	Cause   string    `json:"cause"`
}

// CertificateStatus is a certificate that the proxy uses; Role is "server" or
// "client_ca".
type CertificateStatus struct {
	Role     string    `json:"role"`
	Subject  string    `json:"subject"`
	NotAfter time.Time `json:"not_after"`
	Seconds  int64     `json:"expires_in_seconds"`
}

// MemoryStatus is what the process needs. Level is "free", "short" (reads are refused)
// or "full" (all is).
type MemoryStatus struct {
	Live       uint64 `json:"live_bytes"`
	Limit      uint64 `json:"limit_bytes"` // 0 is none
	Level      string `json:"level"`
	Goroutines int    `json:"goroutines"`
}

package observe

import "time"

// Status is the state of a server, for its operators. It contains keys, names of users
// and addresses. It contains no value, no password, and no claimed name that neither a file
// of users nor a rule has. The names of its fields in JSON are stable. Fields may be added.
//
// Names of durations end in _ms or _seconds, names of sizes in _bytes. Rates are per
// second. Times are in RFC 3339 form. A quantile is null if nothing was measured. Texts
// that clients or etcd chose are cut at 256 bytes, and runes that do not print are
// written as \u202e.
type Status struct {
	// State is "serving", "emptying" if an operator makes clients leave, or "draining".
	State string `json:"state"`
	// EmptyingSince is the time of the POST /-/drain because of which clients are made to
	// leave. It is the zero time if they are not.
	EmptyingSince time.Time `json:"emptying_since"`
	ReadOnly      bool      `json:"read_only"` // writes are refused

	// Totals count from the start of the process. Windows summarize the last 10 seconds,
	// minute and 10 minutes. History has one value for each 2 seconds of the last 10
	// minutes.
	Totals  Totals   `json:"totals"`
	Windows []Window `json:"windows"` // rates and quantiles of recent time
	History History  `json:"history"` // curves of the last 10 minutes

	Connections Connections   `json:"connections"` // connections of clients
	Watches     WatchStatus   `json:"watches"`     // watches of clients
	Sharing     Sharing       `json:"sharing"`     // the work that sharing saved etcd
	Upstream    Upstream      `json:"upstream"`    // etcd and the connections to it
	Stores      []StoreStatus `json:"stores"`      // the v3 store that has the keys; none with the v2 API
	// Changeovers has the place of this proxy in the changeover from the v2 API to the v3 store;
	// none unless upstream.api is "auto".
	Changeovers []ChangeoverStatus `json:"changeovers"`
	// Shadows has the state of the shadow; none unless shadow.sample is set.
	Shadows []ShadowStatus `json:"shadows"`
	// Writers are the clients that have written most to the v3 store through this proxy in the
	// last half hour or hour, at most 10.
	Writers []WriterStatus `json:"writers"`

	// Rules is the table in the order of its prefixes. Of more than 500 rules, the 500
	// with the most requests are listed, and RulesLeftOut counts the others.
	Rules        []RuleStatus `json:"rules"`
	RulesLeftOut int          `json:"rules_left_out"` // rules that are not listed
	// Users are the users that made requests, the most active first, at most 500. The entry
	// without a name stands for all clients that did not have to identify themselves, or
	// could not.
	Users        []UserStatus `json:"users"`
	UsersLeftOut int          `json:"users_left_out"` // users that are not listed
	// Refusals are the last 50 different refusals, the latest first.
	Refusals []RefusalStatus `json:"refusals"`

	Certificates []CertificateStatus `json:"certificates"` // certificates and CAs in use
	Logs         []LogStatus         `json:"logs"`         // the access log and the audit log
	Memory       MemoryStatus        `json:"memory"`       // the memory of the process
	Pools        []PoolStatus        `json:"pools"`        // what clients share, and who holds it
	Limits       []LimitStatus       `json:"limits"`       // the limits that can be reached, and their use
}

// Totals count answered requests.
type Totals struct {
	Reads   uint64 `json:"reads"`   // answered reads, without watches
	Writes  uint64 `json:"writes"`  // answered writes
	Watches uint64 `json:"watches"` // watches that have ended
	Refused uint64 `json:"refused"` // requests that the proxy refused with a status below 500
	Failed  uint64 `json:"failed"`  // answers with a status of 500 or above
	Events  uint64 `json:"events"`  // events sent to watchers of shared watches
	Bytes   uint64 `json:"bytes"`   // bytes of bodies that were sent to clients
}

// Rates are per second.
type Rates struct {
	Reads   Float `json:"reads"`   // answered reads, without watches
	Writes  Float `json:"writes"`  // answered writes
	Refused Float `json:"refused"` // refusals with a status below 500
	Failed  Float `json:"failed"`  // answers with a status of 500 or above
	Events  Float `json:"events"`  // events sent to watchers of shared watches
	Bytes   Float `json:"bytes"`   // bytes of bodies sent to clients
}

// Window summarizes a length of time.
type Window struct {
	Seconds float64 `json:"seconds"` // the length of time
	Rates
	ReadP50  Float `json:"read_p50_ms"`  // median of the duration of reads
	ReadP99  Float `json:"read_p99_ms"`  // 99th percentile of the duration of reads
	WriteP50 Float `json:"write_p50_ms"` // median of the duration of writes
	WriteP99 Float `json:"write_p99_ms"` // 99th percentile of the duration of writes
	// 99th percentile of the duration of reads at etcd, each from the sending of the request
	// to the end of the answer.
	EtcdReadP99  Float `json:"etcd_read_p99_ms"`
	EtcdWriteP99 Float `json:"etcd_write_p99_ms"` // the same of writes
}

// History is a list of samples for each figure, the latest last.
type History struct {
	IntervalSeconds float64     `json:"interval_seconds"` // time between two samples
	Times           []time.Time `json:"times"`            // times of the samples
	Reads           []Float     `json:"reads"`            // reads per second
	Writes          []Float     `json:"writes"`           // writes per second
	Refused         []Float     `json:"refused"`          // refusals per second, with a status below 500
	Failed          []Float     `json:"failed"`           // answers per second with a status of 500 or above
	Events          []Float     `json:"events"`           // events per second
	ReadP50         []Float     `json:"read_p50_ms"`      // median of the duration of reads
	ReadP99         []Float     `json:"read_p99_ms"`      // 99th percentile of the duration of reads
	WriteP50        []Float     `json:"write_p50_ms"`     // median of the duration of writes
	WriteP99        []Float     `json:"write_p99_ms"`     // 99th percentile of the duration of writes
	Watches         []int64     `json:"watches"`          // running watches
	Connections     []int64     `json:"connections"`      // open connections
	Memory          []uint64    `json:"memory_bytes"`     // needed at the last garbage collection
}

// Connections are the connections of clients.
type Connections struct {
	Open  int64 `json:"open"`  // open connections
	Limit int   `json:"limit"` // limits.connections
}

// PoolStatus is the state of a resource that clients share. The help text of the metric
// etcd_tlsproxy_pool_used lists them.
type PoolStatus struct {
	Pool    string `json:"pool"`    // the name of the resource
	Unit    string `json:"unit"`    // "bytes" or empty
	Total   int64  `json:"total"`   // how much of it there is
	Reserve int64  `json:"reserve"` // the part for writes or, of connections, for addresses below their share
	Used    int64  `json:"used"`    // how much of it is in use
	Waiting int64  `json:"waiting"` // those that wait for it
	// WaitingSince is the time since which clients have waited for it again and again. It is
	// zero unless that has lasted for 10 seconds or, of requests to etcd, for a quarter of
	// limits.upstream_timeout if that is less, and until nobody has waited for 10 seconds.
	WaitingSince time.Time `json:"waiting_since"`
	Revoked      uint64    `json:"revoked"`    // holders that were made to give it back since the start
	Evicted      uint64    `json:"evicted"`    // those that were refused since the start because too many waited, or because they waited too long
	EvictedAt    time.Time `json:"evicted_at"` // the last of these; the zero time if there was none
	// Largest are the clients that hold the most, at most 10.
	Largest []PoolHolder `json:"largest"`
}

// PoolHolder is a client that holds a part of a resource.
type PoolHolder struct {
	Account string `json:"account"` // the address, or the user and the network
	Network string `json:"network"` // the network that takes turns with others
	Used    int64  `json:"used"`    // how much the client holds
	Known   bool   `json:"known"`   // somebody has authenticated from there within an hour
}

// WatchStatus is the state of the clients' watches.
type WatchStatus struct {
	Running int   `json:"running"` // running watches
	Limit   int   `json:"limit"`   // limits.watches
	Waiting int64 `json:"waiting"` // running watches that share a watch at etcd
	Hubs    int64 `json:"hubs"`    // shared watches at etcd
	// Largest are the hubs with the most watchers, at most 20.
	Largest []Hub `json:"largest_hubs"`
}

// Hub is one watch at etcd and the clients that share it.
type Hub struct {
	Key       string `json:"key"`        // the watched key
	Recursive bool   `json:"recursive"`  // the watch covers all keys below
	Watchers  int    `json:"watchers"`   // waiting clients
	Index     uint64 `json:"index"`      // the newest known index
	Buffered  int    `json:"remembered"` // events in memory, for watchers with a waitIndex
}

// Sharing is the work that sharing saved etcd.
type Sharing struct {
	Reads  uint64 `json:"reads_saved"`   // reads answered by a request of other clients
	Events uint64 `json:"events_shared"` // events sent to watchers of shared watches
	// Misses are watches with a waitIndex older than the events in memory.
	Misses uint64 `json:"watch_misses"`
	// ReadsPercent is the percentage of reads that were answered by a request of other
	// clients.
	ReadsPercent Float `json:"reads_saved_percent"`
	// WatchersPerHub is the average number of watchers that share a watch at etcd.
	WatchersPerHub Float `json:"watchers_per_hub"`
}

// RuleStatus is one rule and the decisions that the gate made by it.
type RuleStatus struct {
	Prefix string      `json:"prefix"` // the prefix of the rule
	Read   GroupStatus `json:"read"`   // who may read
	Write  GroupStatus `json:"write"`  // who may write
	Decisions
}

// GroupStatus lists the users that a rule admits.
type GroupStatus struct {
	Everyone bool     `json:"everyone"` // no password is needed
	Users    []string `json:"users"`    // the first 20
	LeftOut  int      `json:"left_out"` // users that are not listed
}

// UserStatus is one user and the decisions of the gate about this user. Known is
// "password", "certificate" or "anonymous". The first 500 users with certificates are
// listed. All later ones are counted together in an entry with Others set.
type UserStatus struct {
	User   string `json:"user"`   // the name of the user
	Known  string `json:"known"`  // how the user was identified
	Others bool   `json:"others"` // stands for several users
	Decisions
}

// Decisions count the gate's decisions.
type Decisions struct {
	ReadsAllowed  uint64 `json:"reads_allowed"`  // reads that were allowed
	ReadsRefused  uint64 `json:"reads_refused"`  // reads that were refused
	WritesAllowed uint64 `json:"writes_allowed"` // writes that were allowed
	WritesRefused uint64 `json:"writes_refused"` // writes that were refused
}

// CertificateStatus is a certificate that the proxy uses, or a revocation list. Role is
// "server", "client_ca" or, for a list, "client_crl"; its subject is its CA.
type CertificateStatus struct {
	Role     string    `json:"role"`               // its use
	Subject  string    `json:"subject"`            // its subject
	NotAfter time.Time `json:"not_after"`          // when it expires
	Seconds  int64     `json:"expires_in_seconds"` // time until then; negative afterwards
}

// LogStatus is the state of the access log or the audit log. Since and Error are about the
// last failure; without one, Error is empty.
type LogStatus struct {
	Log     string    `json:"log"`           // "access" or "audit"
	On      bool      `json:"on"`            // whether it is written at all
	Failing bool      `json:"failing"`       // whether the last record could not be written, or not at the path of the log
	Lost    uint64    `json:"lost"`          // records that could not be written since the start
	Since   time.Time `json:"failing_since"` // when the last failure began
	Error   string    `json:"error"`         // why the record could not be written
}

// MemoryStatus is the memory that the process needs. Level is "free", "short" (reads of clients
// above their share are refused), "full" (all requests of these clients are refused) or "out"
// (all requests are refused).
type MemoryStatus struct {
	Live       uint64 `json:"live_bytes"`  // needed at the last garbage collection
	Limit      uint64 `json:"limit_bytes"` // 0 means no limit
	Level      string `json:"level"`       // whether there is enough
	Goroutines int    `json:"goroutines"`  // number of goroutines
	Held       int64  `json:"held_bytes"`  // what clients hold of it, as far as it is known
	Taken      int64  `json:"taken_bytes"` // what was taken back from clients since the start because it was short
	// `largest` are the clients that hold the most, in bytes, at most 10.
	Largest []PoolHolder `json:"largest"`
}

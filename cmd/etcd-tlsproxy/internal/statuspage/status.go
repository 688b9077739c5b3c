package statuspage

import (
	"time"

	"etcd-tlsproxy/proxy/observe"
)

// Status is the content of the page and of /-/status.json. The names of the fields are
// stable; fields may be added. The fields of [observe.Status] are on the same level.
type Status struct {
	Time          time.Time `json:"time"`           // the time of this status
	Host          string    `json:"host"`           // the name of this machine
	Version       string    `json:"version"`        // the version of the program
	Go            string    `json:"go"`             // the version of the compiler and runtime
	Listen        []string  `json:"listen"`         // addresses for clients
	Started       time.Time `json:"started"`        // the start of the process
	UptimeSeconds int64     `json:"uptime_seconds"` // time since then
	// Problems lists, as sentences, what needs an operator's attention.
	Problems []string `json:"problems"`
	Config   Config   `json:"config"` // the configuration
	*observe.Status
}

// RemovedUsers is in [Config.Old] if users whom the htpasswd files no longer have, and
// passwords that were changed in them, still work.
const RemovedUsers = "removed users and old passwords"

// Config is the state of the configuration in force and of the files on disk.
type Config struct {
	File string `json:"file"` // path of the configuration file
	// Loaded is the time of the last attempt that succeeded, also if it changed nothing, or
	// that was applied in part. Tried is that of the last attempt. If the last attempt
	// failed, OK is false, Error says why, and Old names what stays in force.
	Loaded time.Time `json:"loaded"`
	Tried  time.Time `json:"tried"`
	OK     bool      `json:"ok"`
	Error  string    `json:"error"`
	// Old names the parts of the configuration that could not be loaded and are in force as
	// before. Beside a mistake in the rules, removed users and old passwords are refused
	// unless they are named too. It is empty if the last attempt succeeded. The "settings of
	// certificates" are named if their files are loaded again nevertheless.
	Old []string `json:"old"`
	// NothingApplied is set if these are all parts.
	NothingApplied bool `json:"nothing_applied"`
	// UsersWaiting are the users whose passwords in the files are not in force because of the
	// mistake: who are new, or have another password. They are refused.
	UsersWaiting []string `json:"users_waiting"`
	// RestartPending names the changed settings that wait for a restart, with both values. It
	// is empty if nothing of the configuration file could be applied.
	RestartPending []string `json:"restart_pending"`
	// Warnings are the warnings about the configuration in force.
	Warnings []string `json:"warnings"`
	FastLane bool     `json:"fast_lane"` // the setting fast_lane
	// AuditRequired is the setting log.audit_required.
	AuditRequired bool `json:"audit_required"`
	// ShareReads and ShareWatches say whether equal reads and watches are shared.
	ShareReads   bool `json:"share_reads"`
	ShareWatches bool `json:"share_watches"`
}

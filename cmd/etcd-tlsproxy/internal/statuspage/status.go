package statuspage

import (
	"time"

	"etcd-tlsproxy/proxy/observe"
)

// Status is what the page shows and /-/status.json answers. The names of the fields are
// stable; fields may be added. The fields of [observe.Status] are beside these.
type Status struct {
	Time          time.Time `json:"time"`
	Host          string    `json:"host"` // this machine's name
	Version       string    `json:"version"`
	Go            string    `json:"go"`
	Listen        []string  `json:"listen"`
	Started       time.Time `json:"started"`
	UptimeSeconds int64     `json:"uptime_seconds"`
	// Problems are what an operator should look at, in words; none is the aim.
	Problems []string `json:"problems"`
	Config   Config   `json:"config"`
	*observe.Status
}

// Config is the state of the files on disk and of what is in force.
type Config struct {
	File string `json:"file"`
	// Loaded is when what is in force was read; Tried is the last attempt. If that
	// failed, OK is false, Error says why, and the old state serves on.
	Loaded time.Time `json:"loaded"`
	Tried  time.Time `json:"tried"`
	OK     bool      `json:"ok"`
	Error  string    `json:"error"`
	// Warnings are those of the configuration in force.
	Warnings []string `json:"warnings"`
	FastLane bool     `json:"fast_lane"`
	// ShareReads and ShareWatches tell whether equal ones are shared.
	ShareReads   bool `json:"share_reads"`
	ShareWatches bool `json:"share_watches"`
}

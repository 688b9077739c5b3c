package daemon

import (
	"net"
	"os"
	"runtime"
	"strings"
	"time"

	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/statuspage"
)

// statusPage returns the status page of the service.
func (s *service) statusPage() *statuspage.Page {
	started := time.Now().UTC()
	host, err := os.Hostname()
	if err != nil {
		host = "" // which the page shows as unknown
	}
	bound, _, _ := net.SplitHostPort(s.config.Admin)
	listen := s.sockets.addresses()
	return statuspage.New(statuspage.Options{
		Read: func() *statuspage.Status {
			return &statuspage.Status{
				Host: host, Version: s.version, Go: runtime.Version(), Listen: listen, Started: started,
				Config: *s.reloader.lastAttempt.Load(), Status: s.server.Status(),
			}
		},
		KnownHost: func(name string) bool {
			return strings.EqualFold(name, host) || strings.EqualFold(name, bound) || s.server.Snapshot().Certs.Serves(name)
		},
	})
}

// publishStatus gives the status page the result of an attempt to load the files.
func (r *reloader) publishStatus(state *loaded, err error) {
	now := time.Now().UTC().Truncate(time.Millisecond)
	if err != nil {
		failed := *r.lastAttempt.Load()
		failed.Tried, failed.OK, failed.Error = now, false, err.Error()
		r.lastAttempt.Store(&failed)
		return
	}
	c := state.config
	r.lastAttempt.Store(&statuspage.Config{
		File: r.loader.file, Loaded: now, Tried: now, OK: true, Warnings: state.warnings,
		FastLane: c.FastLane, ShareReads: c.ShareReads, ShareWatches: c.ShareWatches,
	})
}

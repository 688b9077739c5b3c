package main

import (
	"net"
	"os"
	"runtime"
	"strings"
	"time"

	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/statuspage"
	"etcd-tlsproxy/proxy"
)

// newStatusPage is the page of a running service.
func newStatusPage(server *proxy.Server, reloader *reloader, listen []string, admin string) *statuspage.Page {
	started := time.Now().UTC()
	host, err := os.Hostname()
	if err != nil {
		host = "" // which the page shows as unknown
	}
	bound, _, _ := net.SplitHostPort(admin)
	return statuspage.New(statuspage.Options{
		Read: func() *statuspage.Status {
			return &statuspage.Status{
				Host: host, Version: version(), Go: runtime.Version(), Listen: listen, Started: started,
				Config: *reloader.told.Load(), Status: server.Status(),
			}
		},
		KnownHost: func(name string) bool {
			return strings.EqualFold(name, host) || strings.EqualFold(name, bound) || server.Snapshot().Certs.Serves(name)
		},
	})
}

// tell is what the status page gets to know of an attempt to load the files.
func (r *reloader) tell(state *loaded, err error) {
	now := time.Now().UTC().Truncate(time.Millisecond)
	if err != nil {
		told := *r.told.Load()
		told.Tried, told.OK, told.Error = now, false, err.Error()
		r.told.Store(&told)
		return
	}
	c := state.config
	r.told.Store(&statuspage.Config{
		File: r.loader.file, Loaded: now, Tried: now, OK: true, Warnings: state.warnings,
		FastLane: c.FastLane, ShareReads: c.ShareReads, ShareWatches: c.ShareWatches,
	})
}

package daemon

import (
	"io"
	"net"
	"os"
	"runtime"
	"slices"
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
			named := slices.ContainsFunc(s.reloader.shown.Load().config.AdminNames, func(own string) bool { return strings.EqualFold(name, own) })
			return named || strings.EqualFold(name, host) || strings.EqualFold(name, bound) || s.server.Snapshot().Certs.Serves(name)
		},
	})
}

// publishStatus gives the status page the result of an attempt to load the files. The state
// is nil if nothing was applied, and changed reports whether it differs from the one before.
func (r *reloader) publishStatus(state *loaded, changed bool, err error) {
	now := r.loader.began.UTC().Truncate(time.Millisecond)
	var next statuspage.Config
	if state == nil {
		next = *r.lastAttempt.Load()
	} else {
		c := state.config
		r.shown.Store(state)
		next = statuspage.Config{
			File: r.loader.file, Loaded: now, Warnings: state.warnings, RestartPending: pendingTexts(state), UsersWaiting: waitingOf(state),
			FastLane: c.FastLane, AuditRequired: c.Log.AuditRequired, ShareReads: c.ShareReads, ShareWatches: c.ShareWatches,
		}
		if err != nil && !changed {
			next.Loaded = r.lastAttempt.Load().Loaded
		}
	}
	next.Tried, next.OK, next.Error, next.Old, next.NothingApplied = now, err == nil, "", []string{}, false
	if err != nil {
		next.Error = err.Error()
		next.Old = append(next.Old, oldParts(err)...)
		if next.NothingApplied = nothingApplied(err); next.NothingApplied { // the file may not even be readable
			next.RestartPending = []string{}
		}
	}
	r.lastAttempt.Store(&next)
}

// showConfig writes the configuration that is in force, and above it what is wrong with the
// files. It contains no secrets, only the names of files that do.
func (r *reloader) showConfig(w io.Writer) error {
	var head strings.Builder
	if last := r.lastAttempt.Load(); !last.OK {
		head.WriteString("# The files are not in force as a whole. In force as before: " + strings.Join(last.Old, "; ") + ". The reason:\n")
		for line := range strings.Lines(last.Error) {
			head.WriteString("#   " + strings.TrimSpace(line) + "\n")
		}
		head.WriteString("\n")
	}
	if _, err := io.WriteString(w, head.String()); err != nil {
		return err
	}
	state := r.shown.Load()
	return state.onDisk.Show(w, state.config, state.pending)
}

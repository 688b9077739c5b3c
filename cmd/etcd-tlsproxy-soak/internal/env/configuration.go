package env

import (
	"fmt"

	"etcd-tlsproxy/proxy/proxytest"
)

// Configuration holds what changes in the proxy's configuration during a run.
type Configuration struct {
	// Narrow lets only root read and write /soak/narrow.
	Narrow          bool
	FastLane        bool
	ShareReads      bool
	ShareWatches    bool
	UpstreamTimeout int // in seconds; a change of the value causes a new pool, and a new copy of a store
	Revision        int // written as a comment, so that the bytes change but not the meaning
}

// upstream returns the lines about an etcd at a URL.
func (f *Files) upstream(url string) string {
	text := fmt.Sprintf("[upstream]\nendpoints = [%q]\napi = %q\n", url, f.API)
	if f.Shadow {
		text += "[shadow]\nsample = 100\n"
	}
	if f.API == proxytest.V3 {
		text += fmt.Sprintf("quota_bytes = %d\n", Quota)
	}
	return text
}

// configureCompanion writes the configuration of another proxy before the same etcd, whose connections have
// no faults. It has one user, and needs no other files than the first one.
func (f *Files) configureCompanion(url string) error {
	return f.write(companionFile, fmt.Appendf(nil, `listen = %q
admin = %q
%s[tls]
certificate = "server.crt"
key = "server.key"
[auth]
htpasswd = ["htpasswd"]
[acls]
"/" = ["root"]
`, f.companionListen, f.companionAdmin, f.upstream(url)))
}

// The files with configurations.
const (
	proxyFile     = "etcd-tlsproxy.toml"
	companionFile = "companion.toml"
)

// UpstreamTimeout is the first value of limits.upstream_timeout, in seconds. It is longer than any outage, and for
// as long a proxy keeps what a change of its files has replaced.
const UpstreamTimeout = 15

// maxLogins is the value of limits.login_burst. All clients share an address and log in
// at once after a change of users; each takes one of the burst until its password is
// verified.
const maxLogins = 100

// Configure changes the configuration and writes the file, followed by more.
func (f *Files) Configure(change func(*Configuration), more string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	change(&f.configuration)
	c := f.configuration
	// A proxy that is stopped for a while must not take its clients for slow ones after that.
	// The client CA lets a rule name a user that is in no htpasswd file, which guest is
	// at times.
	text := fmt.Sprintf(`# %d
listen = %q
admin = %q
fast_lane = %t
share_reads = %t
share_watches = %t
%s[tls]
certificate = "server.crt"
key = "server.key"
client_ca = "ca.crt"
[auth]
htpasswd = ["htpasswd"]
[limits]
upstream_timeout = "%ds"
login_burst = %d
handshake_timeout = "1m"
header_timeout = "1m"
[log]
audit = "audit"
[acls]
"/" = ["root"]
"/soak" = ["root", "worker"]
"/soak/guest" = ["root", "guest"]
"/soak/everyone" = []
`, c.Revision, f.Listen, f.Admin, c.FastLane, c.ShareReads, c.ShareWatches, f.upstream(f.EtcdURL), c.UpstreamTimeout, maxLogins)
	if c.Narrow {
		text += `"/soak/narrow" = { read = ["root"], write = ["root"] }` + "\n"
	}
	return f.write(proxyFile, []byte(text+more))
}

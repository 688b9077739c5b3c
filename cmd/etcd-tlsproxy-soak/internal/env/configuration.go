package env

import "fmt"

// Configuration holds what changes in the proxy's configuration during a run.
type Configuration struct {
	// Narrow lets only root read and write /soak/narrow.
	Narrow          bool
	FastLane        bool
	ShareReads      bool
	ShareWatches    bool
	UpstreamTimeout int // in seconds; a change of the value causes a new pool
	Revision        int // written as a comment, so that the bytes change but not the meaning
}

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
	// The client CA lets a rule name a user that is in no htpasswd file, which guest is
	// at times.
	text := fmt.Sprintf(`# %d
listen = %q
admin = %q
fast_lane = %t
share_reads = %t
share_watches = %t
[upstream]
endpoints = [%q]
[tls]
certificate = "server.crt"
key = "server.key"
client_ca = "ca.crt"
[auth]
htpasswd = ["htpasswd"]
[limits]
upstream_timeout = "%ds"
login_burst = %d
[log]
audit = "audit"
[acls]
"/" = ["root"]
"/soak" = ["root", "worker"]
"/soak/guest" = ["root", "guest"]
"/soak/everyone" = []
`, c.Revision, f.Listen, f.Admin, c.FastLane, c.ShareReads, c.ShareWatches, f.EtcdURL, c.UpstreamTimeout, maxLogins)
	if c.Narrow {
		text += `"/soak/narrow" = { read = ["root"], write = ["root"] }` + "\n"
	}
	return f.write("etcd-tlsproxy.toml", []byte(text+more))
}

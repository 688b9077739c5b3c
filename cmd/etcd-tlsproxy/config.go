package main

import (
	"runtime"
	"time"
)

// Config is the configuration file, and this comment its reference. Keys that
// are left out have the value of [DefaultConfig]; unknown keys are errors.
// Durations are written as in "10s" or "1h30m", sizes in bytes. Relative paths
// start at the file's own folder.
type Config struct {
	// Listen is the HTTPS address. Without a host it is IPv4 and IPv6.
	Listen string `toml:"listen"`
	// Admin is the address for metrics, health, reload and explanations, in plain HTTP.
	// It should stay on loopback or a network of operators: whoever reaches it sees the
	// metrics and the table of rules, and can ask for a reload.
	Admin string `toml:"admin"`
	// ReadOnly refuses everything but reads, whoever asks, with etcd's error 107.
	ReadOnly bool `toml:"read_only"`
	// Match is "segment", or "both" to allow only what both whole segments and the
	// byte-wise prefixes of an nginx site allow.
	Match string `toml:"match"`
	// FastLane serves plain HTTP/1.1 requests without Go's general HTTP server. To
	// switch it off costs speed and changes nothing else.
	FastLane bool `toml:"fast_lane"`
	// ShareReads answers equal reads that wait at the same time with one request to
	// etcd, which is sent after all of them have come.
	ShareReads bool `toml:"share_reads"`
	// ShareWatches lets all clients that watch the same wait for one watch at etcd.
	ShareWatches bool `toml:"share_watches"`

	Upstream Upstream `toml:"upstream"`
	TLS      TLS      `toml:"tls"`
	Auth     Auth     `toml:"auth"`
	// ACLs is the table of prefixes: a list is the users who may write, and [] is
	// everyone; reads are open. The long form is { read = [...], write = [...] }.
	ACLs map[string]ACL `toml:"acls"`
	// Surfaces lists the users who may use what is closed to all: members (writes
	// to /v2/members), auth, config, debug, v3. A list cannot be empty.
	Surfaces map[string][]string `toml:"surfaces"`
	Limits   Limits              `toml:"limits"`
	Log      Log                 `toml:"log"`
}

// Upstream is the way to etcd.
type Upstream struct {
	// Endpoints are etcd's client URLs: http://host:port, https://host:port or
	// unix:///path. The first is preferred; another serves while it is down.
	Endpoints []string `toml:"endpoints"`
	// SRV is a domain whose SRV records name the endpoints, instead of Endpoints:
	// _etcd-client-ssl._tcp.DOMAIN or, only if there are none, _etcd-client._tcp.
	// The member on this machine is preferred, then priority and weight decide.
	// With CA, ServerName or InsecureSkipVerify, only encrypted ones are taken.
	SRV string `toml:"srv"`
	// Resolver is the DNS server to ask for them and for their addresses, as in
	// "127.0.0.1:53"; the system's by default.
	Resolver string `toml:"resolver"`
	// SRVRefresh is how often they are asked for again; a reload asks at once. If
	// there is no answer, or plaintext where there was TLS, the old ones stay, with
	// the addresses that were found with them.
	SRVRefresh Duration `toml:"srv_refresh"`
	// CA is a PEM file to verify https endpoints with; the system's CAs by default.
	CA string `toml:"ca"`
	// ServerName is the name to verify; the endpoint's host by default, for
	// discovered ones the target of the record.
	ServerName string `toml:"server_name"`
	// InsecureSkipVerify does not verify, as the nginx site did not.
	InsecureSkipVerify bool `toml:"insecure_skip_verify"`
}

// TLS is this server's certificate and how clients are known by theirs.
type TLS struct {
	// Certificate is a PEM file with the chain, the server's own certificate first.
	Certificate string `toml:"certificate"`
	// Key is the PEM file of its private key; it can be the same file.
	Key string `toml:"key"`
	// ClientCA is a PEM bundle; with it, clients may show certificates.
	ClientCA string `toml:"client_ca"`
	// ClientAuth is "optional", or "require" to refuse clients without one.
	ClientAuth string `toml:"client_auth"`
	// ClientName is the part of a certificate that is the user's name: "cn", "dns",
	// "uri" or "email". A certificate must hold exactly one.
	ClientName string `toml:"client_name"`
}

// Auth is who is known by a password.
type Auth struct {
	// Htpasswd are files of apr1, bcrypt, SHA, SSHA, sha256-crypt and sha512-crypt
	// hashes. A user may be in several of them with one password.
	Htpasswd []string `toml:"htpasswd"`
}

// Limits bounds what clients can make the proxy hold. Those marked with a star
// are taken over at a restart, the others at a reload.
type Limits struct {
	// HeaderTimeout (*) is how long a request's head may take, and a new connection
	// to send its first: it cuts clients that trickle.
	HeaderTimeout Duration `toml:"header_timeout"`
	// BodyTimeout is how long a client may pause in sending or taking a body. One
	// that takes longer to send it must send 4 KiB a second on average.
	BodyTimeout Duration `toml:"body_timeout"`
	// IdleTimeout (*) is how long a connection may wait for its next request. It is
	// long, as in the nginx site: reconnecting costs a TLS handshake.
	IdleTimeout Duration `toml:"idle_timeout"`
	// HandshakeTimeout (*) bounds a TLS handshake.
	HandshakeTimeout Duration `toml:"handshake_timeout"`
	// Drain (*) is how long running requests may take to finish at a shutdown.
	Drain Duration `toml:"drain"`
	// HeadBytes (*) bounds a request's head: nginx's four buffers of 8 KiB.
	HeadBytes int `toml:"head_bytes"`
	// TargetBytes bounds path and query. A plaintext etcd resets a new connection
	// whose first line exceeds 4,096, so only https endpoints allow more than 4,000.
	TargetBytes int `toml:"target_bytes"`
	// BodyBytes bounds a request's body; etcd refuses forms above 10 MiB.
	BodyBytes int64 `toml:"body_bytes"`
	// BodyMemory (*) bounds what all large bodies together hold while they arrive.
	BodyMemory int64 `toml:"body_memory"`
	// Memory (*) bounds what the process needs, in bytes. At 80 % of it reads are
	// refused with 503 and silent connections are ended, at 92 % writes and new
	// connections too, so that the kernel has no reason to end the process. Go's own
	// limit, GOMEMLIMIT, is set to the same.
	Memory int64 `toml:"memory"`
	// Connections (*) bounds the clients' open connections. Each costs about 40 KiB
	// and one file descriptor. Beyond it a silent one is ended for each new one.
	Connections int `toml:"connections"`
	// AddressConnections (*) bounds those of one address, or of one /64 of IPv6.
	AddressConnections int `toml:"address_connections"`
	// AddressHandshakes (*) is how many connections of one address may begin in a
	// second. More wait for their turn, up to handshake_timeout.
	AddressHandshakes int `toml:"address_handshakes"`
	// Watches (*) bounds the running watches. All of one key share a connection to
	// etcd, unless share_watches is off.
	Watches int `toml:"watches"`
	// UserWatches (*) bounds those of one user or, where reads are open and users do
	// not matter, of one address.
	UserWatches int `toml:"user_watches"`
	// UpstreamRequests bounds the requests that are on their way to etcd at a time;
	// more wait. An eighth of them, and at least one, is for writes alone.
	UpstreamRequests int `toml:"upstream_requests"`
	// UpstreamTimeout bounds the wait for etcd's answer. An etcd without a leader
	// answers a write after 5 to 7 seconds. Watches have no timeout.
	UpstreamTimeout Duration `toml:"upstream_timeout"`
	// LoginBurst (*) is how many logins of an address may fail in a row.
	LoginBurst int `toml:"login_burst"`
	// LoginEvery (*) is how often it may try again after that.
	LoginEvery Duration `toml:"login_every"`
	// HashWorkers (*) is how many passwords are hashed at a time; half of the
	// processors by default, so that logins cannot stop the serving of reads.
	HashWorkers int `toml:"hash_workers"`
}

// Log is where records go: "off", "stdout", "stderr" or a file, which is opened
// again on SIGHUP. All of it is taken over at a restart.
type Log struct {
	// Access gets one line for each request.
	Access string `toml:"access"`
	// Format of the access log: "combined", as nginx's, or "json".
	Format string `toml:"format"`
	// Audit gets one JSON line for each write and each refusal.
	Audit string `toml:"audit"`
	// Level of the service's own messages, which go to stderr: "debug", "info",
	// "warn" or "error".
	Level string `toml:"level"`
}

// DefaultConfig is what a file that says nothing means.
func DefaultConfig() Config {
	seconds := func(n int) Duration { return Duration(n) * Duration(time.Second) }
	return Config{
		Listen: ":4001", Admin: "127.0.0.1:4002", Match: "segment", FastLane: true, ShareReads: true, ShareWatches: true,
		Upstream: Upstream{Endpoints: []string{"http://127.0.0.1:2379"}, SRVRefresh: seconds(60)},
		TLS:      TLS{ClientAuth: "optional", ClientName: "cn"},
		Limits: Limits{
			HeaderTimeout: seconds(10), BodyTimeout: seconds(30), IdleTimeout: seconds(3600), HandshakeTimeout: seconds(10), Drain: seconds(10),
			HeadBytes: 32 << 10, TargetBytes: maxPlainTarget, BodyBytes: 10 << 20, BodyMemory: 128 << 20,
			Memory: 1 << 30, Connections: 20_000, AddressConnections: 10_000, AddressHandshakes: 500, Watches: 20_000, UserWatches: 10_000, UpstreamRequests: 1024, UpstreamTimeout: seconds(30),
			LoginBurst: 20, LoginEvery: seconds(1), HashWorkers: max(1, runtime.NumCPU()/2),
		},
		Log: Log{Access: "off", Format: "combined", Audit: "stderr", Level: "info"},
	}
}

// maxPlainTarget leaves room for the method and the version in the 4,096 bytes
// that a plaintext etcd reads of a first line.
const maxPlainTarget = 4000

// Duration is a time.Duration written as text.
type Duration time.Duration

// Duration is the value as the standard library has it.
func (d Duration) Duration() time.Duration { return time.Duration(d) }

// String is the value as it is written.
func (d Duration) String() string { return time.Duration(d).String() }

// UnmarshalText reads it.
func (d *Duration) UnmarshalText(text []byte) error {
	parsed, err := time.ParseDuration(string(text))
	if err != nil {
		return problem{`it is no duration`, `write it as in "10s" or "1h30m"`}
	}
	*d = Duration(parsed)
	return nil
}

// MarshalText writes it.
func (d Duration) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

package config

import (
	"runtime"
	"strings"
	"time"
)

// Limits bounds the resources that clients can make the proxy use.
type Limits struct {
	// HeaderTimeout is the longest time that the head of a request can take to arrive, and
	// that a new connection can take to send its first head. It cuts off clients that send
	// byte by byte.
	HeaderTimeout Duration `toml:"header_timeout" default:"10s" min:">0" reload:"restart"`
	// BodyTimeout is the longest pause of a client while it sends or receives a body. A
	// body that takes longer must pass at 4 KiB a second on average. What passed faster
	// before counts for no more than another body_timeout.
	BodyTimeout Duration `toml:"body_timeout" default:"30s" min:">0"`
	// IdleTimeout is how long a connection can wait for its next request. It is as long
	// as in the nginx site, because reconnecting costs a TLS handshake.
	IdleTimeout Duration `toml:"idle_timeout" default:"1h0m0s" min:">0" reload:"restart"`
	// HandshakeTimeout is the longest time that a client can take for its part of a TLS
	// handshake. Time in which its handshake waits for the processor does not count.
	HandshakeTimeout Duration `toml:"handshake_timeout" default:"10s" min:">0" reload:"restart"`
	// Drain is how long running requests can take to finish at a shutdown.
	Drain Duration `toml:"drain" default:"10s" min:">0" reload:"restart"`
	// HeadBytes is the largest head of a request. The default is that of nginx, four
	// buffers of 8 KiB.
	HeadBytes int `toml:"head_bytes" unit:"bytes" default:"32768" min:"1024" max:"1048576" reload:"restart"`
	// TargetBytes is the longest path with query. The maximum is 4,000, because a plaintext
	// etcd resets a new connection whose first line exceeds 4,096 bytes. If all endpoints
	// are https, the maximum is the value of head_bytes.
	TargetBytes int `toml:"target_bytes" unit:"bytes" default:"4000" min:"256" max:"auto"`
	// BodyBytes is the largest body of a request. etcd refuses forms above 10 MiB.
	BodyBytes int64 `toml:"body_bytes" unit:"bytes" default:"10485760" min:"1024" max:"1073741824"`
	// BodyMemory is the largest amount of memory that all large bodies together can use
	// while they arrive.
	BodyMemory int64 `toml:"body_memory" unit:"bytes" default:"134217728" min:">limits.body_bytes" max:"1099511627776" reload:"restart"`
	// Memory is the largest amount of memory that the process should use, so that the
	// kernel has no reason to kill it. At 80 % of it memory is taken back from clients that
	// hold more than their share: connections, streams of HTTP/2, bodies and answers, first
	// those that are idle or make no progress. Reads of these clients get status 503, at 92 %
	// also their writes and new connections, and at 100 % everything is refused. Go's own
	// limit, GOMEMLIMIT, is set to the same value. Garbage is collected later than by Go's
	// default while the heap is smaller than 32 MiB and than a quarter of this value; set
	// GOGC to decide that yourself. With upstream.api = "v3" all keys together may use half of
	// it: writes that would make them more are refused, as etcd does above its quota.
	// Keys that need more than all of it are not served.
	Memory int64 `toml:"memory" unit:"bytes" default:"1073741824" min:"67108864" max:"1125899906842624" reload:"restart"`
	// Connections is the largest number of open client connections. Each uses about
	// 40 KiB and one file descriptor. One address can use seven eighths of them while no
	// other wants them. At the limit a connection is closed for each new one: of an address
	// that has more than its share, idle ones first, or an idle one of the same address.
	// If the process may not have enough files open, 64 and a 32nd of them are left for etcd,
	// logs and clients that wait, and there are fewer connections.
	Connections int `toml:"connections" default:"20000" min:"1" max:"10000000" reload:"restart"`
	// AddressConnections is the largest number of open connections of one address or,
	// for IPv6, of one /64 network. With 0 there is no such limit, and addresses share the
	// connections.
	AddressConnections int `toml:"address_connections" default:"0" min:"0" max:"10000000" reload:"restart"`
	// AddressHandshakes is how many connections of one address can start in a second.
	// Further ones wait, up to handshake_timeout. With 0 there is no such limit, and
	// networks take turns when the processor is busy with handshakes.
	AddressHandshakes int `toml:"address_handshakes" default:"0" min:"0" max:"1000000" reload:"restart"`
	// Watches is the largest number of running watches. All watches of one key share a
	// connection to etcd, unless share_watches is off. One user or, where reads are open to
	// everyone, one address can have seven eighths of them while no other wants them.
	Watches int `toml:"watches" default:"20000" min:"1" max:"10000000" reload:"restart"`
	// UserWatches is the largest number of running watches of one user or, where reads
	// are open to everyone, of one address. With 0 there is no such limit, and clients
	// share the watches.
	UserWatches int `toml:"user_watches" default:"0" min:"0" max:"10000000" reload:"restart"`
	// UpstreamRequests is the largest number of requests that etcd processes for the
	// proxy at a time; further ones wait. An eighth of them, and at least one, is
	// reserved for writes.
	UpstreamRequests int `toml:"upstream_requests" default:"1024" min:"1" max:"1000000"`
	// UpstreamTimeout is the longest wait for an answer of etcd, from the moment that the
	// request is sent. The wait for its turn before that has the same bound. An etcd without a
	// leader answers a write after 5 to 7 seconds. Watches have no timeout.
	UpstreamTimeout Duration `toml:"upstream_timeout" default:"30s" min:">0"`
	// LoginBurst is how many logins of one address can fail in a row.
	LoginBurst int `toml:"login_burst" default:"20" min:"1" max:"1000000" reload:"restart"`
	// LoginEvery is the interval between further attempts of an address after login_burst
	// failures.
	LoginEvery Duration `toml:"login_every" default:"1s" min:">0" reload:"restart"`
	// HashWorkers is how many passwords are hashed at a time. The default is half of the
	// processors, and at least one, so that logins cannot stop the serving of reads.
	HashWorkers int `toml:"hash_workers" default:"auto" min:"1" max:"1024" reload:"restart"`
}

// Values returns the limits by their keys, durations in seconds.
func (l *Limits) Values() map[string]float64 {
	values := make(map[string]float64)
	c := &Config{Limits: *l}
	for _, s := range Settings() {
		name, ok := strings.CutPrefix(s.Key, "limits.")
		if !ok {
			continue
		}
		switch v := s.value(c); s.Type {
		case "duration":
			values[name] = time.Duration(v.Int()).Seconds()
		default:
			values[name] = float64(v.Int())
		}
	}
	return values
}

// defaultHashWorkers is the computed default of limits.hash_workers.
func defaultHashWorkers() int { return max(1, runtime.NumCPU()/2) }

// maxPlainTarget leaves room for the method and the version in the 4,096 bytes of a first
// line that an etcd without TLS reads.
const maxPlainTarget = 4000

// maxTargetBytes is the computed maximum of limits.target_bytes.
func (c *Parsed) maxTargetBytes() int {
	if c.onlyTLS() {
		return c.Limits.HeadBytes
	}
	return maxPlainTarget
}

package config

// Config is the configuration file. Durations are written as in "10s" or "1h30m",
// and sizes as in "16MiB" or as numbers of bytes. Relative paths start at the folder of the
// configuration file.
type Config struct {
	// Listen is the address for clients, in HTTPS. Without a host, or with *, the service
	// listens on all IPv4 and IPv6 addresses.
	Listen string `toml:"listen" default:":4001" reload:"restart"`
	// Admin is the address for metrics, health, status, reloads and explanations, in
	// plain HTTP. Keep it on loopback or in a network of operators: everyone who can
	// connect to it can read the metrics and the table of rules, and can start a reload.
	Admin string `toml:"admin" default:"127.0.0.1:4002" reload:"restart"`
	// AdminWebConfig is a file in the web configuration format of Prometheus' exporters, for
	// TLS and basic authentication at the admin address. Its own changes need no reload.
	// The default is plain HTTP for everyone.
	AdminWebConfig string `toml:"admin_web_config" default:"" reload:"restart"`
	// AdminProfiles serves the profiles of Go's runtime below /debug/pprof at the admin
	// address.
	AdminProfiles bool `toml:"admin_profiles" default:"false" reload:"restart"`
	// AdminNames are names of this machine by which clients may call the admin address, for
	// example those that Prometheus scrapes. Addresses, localhost, the name of the host and
	// the names in the certificate need not be listed. Requests by any other name are
	// refused: a web page could read the answers under it.
	AdminNames []string `toml:"admin_names" default:""`
	// ReadOnly refuses every request that is not a read, for all users, with etcd's
	// error 107.
	ReadOnly bool `toml:"read_only" default:"false"`
	// Match selects how the prefixes of acls are compared with a key. "segment" compares
	// whole segments: "/conf" covers "/conf/a" but not "/conftool". "both" also applies the
	// prefixes byte by byte, like an nginx site, and allows only what both comparisons
	// allow.
	Match string `toml:"match" default:"segment" choices:"segment,both"`
	// FastLane serves plain HTTP/1.1 requests without Go's general HTTP server. Without
	// it the proxy is slower; nothing else changes.
	FastLane bool `toml:"fast_lane" default:"true"`
	// HTTP2 offers HTTP/2 to new connections, besides HTTP/1.1. The names of fields are in
	// lower case there, as the protocol requires. Clients that look for X-Etcd-Index in
	// exactly this spelling, such as cetcd, need HTTP/1.1: set http2 to false if they offer
	// HTTP/2.
	HTTP2 bool `toml:"http2" default:"true"`
	// RawSockets reads and writes sockets with direct system calls, which saves about a
	// tenth of the processor time. Without it the proxy uses Go's standard library for
	// all input and output; nothing else changes.
	RawSockets bool `toml:"raw_sockets" default:"true" reload:"restart"`
	// ShareReads answers equal reads that wait at the same time with one request to
	// etcd, which is sent after the last of them arrived. With upstream.api = "v3" reads of
	// keys need no request.
	ShareReads bool `toml:"share_reads" default:"true"`
	// ShareWatches serves all clients that watch the same key from one watch at etcd. With
	// upstream.api = "v3" one watch serves all keys anyway. Without it a large write costs etcd
	// a copy of its event for each watch; limits.watches and limits.user_watches bound these.
	ShareWatches bool `toml:"share_watches" default:"true"`

	ProxyProtocol ProxyProtocol `toml:"proxy_protocol"`

	Upstream Upstream `toml:"upstream"`
	Shadow   Shadow   `toml:"shadow"`
	TLS      TLS      `toml:"tls"`
	Auth     Auth     `toml:"auth"`
	// ACLs is the table of prefixes. The value of a prefix is the list of users who may
	// write; an empty list means everyone. Everyone may read. The long form { read = [...],
	// write = [...] } also restricts reads.
	ACLs map[string]ACL `toml:"acls"`
	// Surfaces opens parts of etcd's API that are closed by default to the listed
	// users: members (writes to /v2/members), auth, config, debug and v3. The parts of the
	// v3 API for members and users also need members and auth. A list cannot be empty.
	Surfaces map[string][]string `toml:"surfaces"`
	Limits   Limits              `toml:"limits"`
	Log      Log                 `toml:"log"`
}

// ProxyProtocol describes the load balancers in front of this service that pass on TCP.
type ProxyProtocol struct {
	// From are the addresses of load balancers that name their clients by the PROXY protocol,
	// version 1 or 2, as addresses or as networks: ["192.0.2.10", "2001:db8:5::/64"]. Each
	// connection from there must begin with a header; without one it is closed. The client
	// that the header names counts as the client everywhere: in limits, logs and on the
	// status page. Connections for which the load balancer speaks itself, as checks of its
	// own, are those of its own address. A machine at such an address can name any client, so
	// list nothing but load balancers. A change applies to new connections.
	From []string `toml:"from" default:""`
}

// Upstream describes the connection to etcd.
type Upstream struct {
	// API is the API of etcd that the proxy uses for keys and members: "v2", or "v3" for an
	// etcd without the v2 API, or with both. With "v3" the proxy holds a copy of all keys, and
	// a proxy on another machine serves the same. See REFERENCE.md for what clients can
	// notice. A store without a tree of keys is not served: migrate init makes an empty one.
	// With "auto" the v2 API is served until migrate switch has moved the keys of all proxies
	// to the v3 store, and the store from then on, until migrate back has moved them back.
	API string `toml:"api" default:"v2" choices:"v2,auto,v3" reload:"restart"`
	// Endpoints are etcd's client URLs: http://host:port, https://host:port or
	// unix:///path. The first is preferred; the others are used while it is down.
	Endpoints []string `toml:"endpoints" default:"http://127.0.0.1:2379"`
	// SRV is a domain whose SRV records name the endpoints; it replaces endpoints. The
	// records are _etcd-client-ssl._tcp.DOMAIN or, only if there are none,
	// _etcd-client._tcp.DOMAIN. The member on this machine is preferred, then priority
	// and weight decide. With ca, certificate, server_name or insecure_skip_verify, only
	// records of members with TLS are accepted.
	SRV string `toml:"srv" default:""`
	// Resolver is the DNS server for the lookup of the records of srv and of their
	// addresses, as in "127.0.0.1:53". The default is the system's resolver.
	Resolver string `toml:"resolver" default:""`
	// SRVRefresh is the interval at which the records of srv are looked up again; a
	// reload looks them up at once. Records that are not usable, as those without a port or
	// without an address, are left out. If the lookup fails, or finds only plaintext members
	// where there was TLS, the endpoints and addresses of the last lookup stay in use.
	SRVRefresh Duration `toml:"srv_refresh" default:"1m0s" min:"1s" max:"24h"`
	// CA is a PEM file with the CAs that verify https endpoints. The default is the
	// system's CAs.
	CA string `toml:"ca" default:""`
	// ServerName is the name that the certificate of an https endpoint must have. The
	// default is the host of the endpoint or, with srv, the target of its record.
	ServerName string `toml:"server_name" default:""`
	// InsecureSkipVerify accepts any certificate of etcd, as the nginx site did.
	InsecureSkipVerify bool `toml:"insecure_skip_verify" default:"false"`
	// Certificate is a PEM file with a client certificate and its chain, for an etcd that
	// requires one (--client-cert-auth). If etcd's own users are enabled, a user with the
	// common name of the certificate acts for all requests without credentials.
	Certificate string `toml:"certificate" default:""`
	// Key is the PEM file with the private key of certificate. It can be the same file.
	Key string `toml:"key" default:""`
	// Credentials is "drop" or "forward". With "drop" etcd receives no credentials of
	// clients. With "forward" it receives the Authorization field of each request that the
	// proxy allows, for an etcd whose own users are enabled. Requests with credentials then
	// share neither reads nor watches, and etcd hashes a password for each of them.
	Credentials string `toml:"credentials" default:"drop" choices:"drop,forward"`
	// User is a user of etcd as whom the proxy sends all requests. etcd hashes the password
	// for each of them, which takes it tens of milliseconds; a certificate takes none.
	// Running watches keep the user with whom they started. It excludes credentials =
	// "forward".
	User string `toml:"user" default:""`
	// PasswordFile is a file whose first line is the password of user.
	PasswordFile string `toml:"password_file" default:""`
	// Prefix is what the keys of etcd's v3 API begin with that hold the tree. With the
	// default, the key /a of the v2 API is the key /a of the v3 API.
	Prefix string `toml:"prefix" default:"" reload:"restart"`
	// PlainReads is "mirror" to answer reads without quorum from the copy in memory, which is
	// as fresh as the store of a member, or "linearizable" to make sure before each of them
	// that the copy has every write that was acknowledged.
	PlainReads string `toml:"plain_reads" default:"mirror" choices:"mirror,linearizable"`
	// ServeStale answers reads without quorum also while etcd cannot be reached. Without it
	// they are refused 10 seconds after the connection to etcd was lost.
	ServeStale bool `toml:"serve_stale" default:"false"`
	// Compact makes one of the proxies remove old revisions from etcd, which would
	// otherwise fill its quota. Set it to false on all proxies if etcd compacts by itself
	// (--auto-compaction-retention), or if other programs need the revisions.
	Compact bool `toml:"compact" default:"true"`
	// QuotaBytes is etcd's --quota-backend-bytes. Above a quarter of it, compact keeps only the
	// last 1,000 events. Above a half of it, writes of clients that wrote most are refused, and above 80 %
	// all but DELETE. When it is used up, etcd refuses all writes.
	QuotaBytes int64 `toml:"quota_bytes" unit:"bytes" default:"2147483648" min:"16777216" max:"1125899906842624"`
}

// Shadow describes a copy of the keys in a v3 store that follows the v2 API, and with which answers of the v2 API
// are compared. migrate rehearse makes the copy. Clients notice nothing of it. Set it alike for all proxies: one of
// them makes the changes of the copy for all.
type Shadow struct {
	// Sample is the share of the answers that is compared, in percent. With 0 there is no shadow. Each change of a key
	// costs a write to the v3 store, whatever the share is.
	Sample int `toml:"sample" default:"0" min:"0" max:"100"`
	// Prefix is what the keys of the copy begin with, as --prefix of migrate rehearse. The default is that of
	// upstream.prefix with "rehearsal" behind it.
	Prefix string `toml:"prefix" default:""`
	// Endpoints are the client URLs of another etcd whose v3 store has the copy, with the credentials and CAs of the
	// table upstream. The default are the endpoints of upstream.
	Endpoints []string `toml:"endpoints" default:""`
}

// TLS describes the certificate of this server and the certificates of clients.
type TLS struct {
	// Certificate is a PEM file with the certificate chain of this server, in any order. Keys,
	// parameters and certificate requests in it are ignored. It is required. A list of files
	// has certificates with keys of different kinds, as ["ecdsa.crt", "rsa.crt"]. A client is
	// shown one that it supports, and RSA only if it supports no other.
	Certificate Files `toml:"certificate" default:""`
	// Key is the PEM file with the private key of the certificate. It is required, and
	// can be the same file. Of several keys the one of the certificate is used. A
	// list of certificates needs a list of keys in the same order.
	Key Files `toml:"key" default:""`
	// ClientCA is a PEM bundle of the CAs that verify client certificates. Without it
	// clients cannot identify themselves by certificate. A client can send up to five
	// certificates: its own, and intermediate ones.
	ClientCA string `toml:"client_ca" default:""`
	// ClientCRL is a PEM file with the revocation lists (CRL) of the CAs in client_ca. With
	// it, a client certificate is accepted only if a list in force of the CA that signed it
	// does not contain it, and so is each intermediate certificate. A CA without a list, or
	// whose list has expired, accepts no client. The lists must be complete: delta lists and
	// lists with an issuing distribution point are refused.
	ClientCRL string `toml:"client_crl" default:""`
	// ClientAuth is "optional", or "require" to refuse clients without a certificate.
	ClientAuth string `toml:"client_auth" default:"optional" choices:"optional,require"`
	// ClientName is the part of a client certificate that is the user's name: "cn",
	// "dns", "uri" or "email". A certificate must contain exactly one.
	ClientName string `toml:"client_name" default:"cn" choices:"cn,dns,uri,email"`
}

// Auth describes the users.
type Auth struct {
	// Htpasswd are files with apr1, bcrypt, SHA, SSHA, sha256-crypt or sha512-crypt
	// hashes. A user can be in several files with the same password.
	Htpasswd []string `toml:"htpasswd" default:""`
	// Certificates are the names of client certificates that rules may use. They open
	// nothing by themselves. A user in a rule who is neither here nor in a htpasswd file is a
	// warning, because the name is probably misspelled; check-config --strict refuses it.
	Certificates []string `toml:"certificates" default:""`
}

// Log describes where records are written: "off", "stdout", "stderr" or a file, which
// SIGHUP reopens.
type Log struct {
	// Access receives one line for each request.
	Access string `toml:"access" default:"off"`
	// Format is the format of the access log: "combined", which is nginx's, or "json".
	Format string `toml:"format" default:"combined" choices:"combined,json"`
	// Audit receives one line of JSON for each write, and for refusals, of which equal ones
	// are counted. A file that was removed, or moved without a SIGHUP, is opened again within
	// two seconds.
	Audit string `toml:"audit" default:"stderr"`
	// AuditRequired refuses all writes with status 503 from the moment that a line of the audit
	// log could not be written, or not at its path any more, until the log can be written
	// again, which is tried each second. Writes that etcd was carrying out at that moment are
	// counted as lost. Writes are also refused while the log takes more than a second for what
	// it is given. Up to 4 MiB of lines wait for it meanwhile; beyond that they are lost.
	AuditRequired bool `toml:"audit_required" default:"false"`
	// Service is the format of the service's own messages: "text" or "json". In the journal
	// each message has the priority of its level. In the text form a list is a JSON array in
	// quotes.
	Service string `toml:"service" default:"text" choices:"text,json"`
	// Level is the lowest level of the service's own messages that are written; they go to
	// stderr: "debug", "info", "warn" or "error".
	Level string `toml:"level" default:"info"`
}

package main

import (
	"time"

	"etcd-tlsproxy/cmd/etcd-tlsproxy-siege/internal/attack"
)

// scenario is one attack with what it needs around it.
type scenario struct {
	name string
	what string
	// attack is what the attackers do; without it there are none, and only check counts.
	attack    string
	protocols []string
	attackers []string
	// allowed is the latency that reads and writes of victims may have in any case; 0 means
	// that latencies are not judged.
	allowed time.Duration
	// memory is limits.memory; 0 means site.Memory.
	memory int64
	// least is the shortest time in which the attack can be judged.
	least    time.Duration
	limits   string // more lines of [limits]
	clientCA bool   // the proxy accepts client certificates
	secure   bool   // etcd serves TLS
	quota    int64  // of etcd, in bytes; 0 means its own default
	// victims replaces the usual kinds of victims.
	victims []string
	// only says why no other server can be attacked in the same way; empty means that they can.
	only string
	// onlyV3 says why a store of the v2 API cannot be attacked in the same way; empty means that it can.
	onlyV3 string
	// never says why no server can be attacked by this program.
	never string
	// prepare changes what the attackers do.
	prepare func(c *cell, spec *attack.Spec) error
	// beside runs while the attack lasts.
	beside func(c *cell) error
	// every is the interval of beside.
	every time.Duration
	// note returns a figure that is reported and not judged.
	note func(c *cell) string
	// check returns what the attack has achieved, after its end.
	check func(c *cell) (string, error)
}

var (
	anyHTTP = []string{attack.HTTP2, attack.HTTP11, attack.HTTP10}
	newHTTP = []string{attack.HTTP2, attack.HTTP11}
	// oldFirst is for attacks that hurt most where requests are cheapest to serve.
	oldFirst = []string{attack.HTTP11, attack.HTTP2}
	onlyTLS  = []string{attack.TLS}
)

// scenarios returns all attacks, in the order of the report. The first protocol and the first
// attackers of each are those that hurt most.
func scenarios() []scenario {
	return []scenario{
		{
			name: "1a", attack: "ancestors", allowed: carryAllowed, protocols: newHTTP, attackers: []string{one, four, user},
			what: "watches of all folders above a key that gets large values, and takes no event",
		},
		{
			name: "1b", attack: "past", allowed: carryAllowed, protocols: newHTTP, attackers: []string{one, four, again, user},
			what: "asks for the large event of a key with 60 old indexes, and takes no answer",
		},
		{
			name: "1c", attack: "waiters", allowed: carryAllowed, protocols: newHTTP, attackers: []string{one, four, user},
			what: "has hundreds of different watches of one key that gets large values, and takes no event",
		},
		{
			name: "2", attack: "streams", allowed: latencyAllowed, protocols: newHTTP, attackers: []string{one, four, network24, network48, again, company},
			what: "asks for 25,000 short answers and takes none",
		},
		{
			name: "3", attack: "silent", allowed: latencyAllowed, protocols: anyHTTP, attackers: []string{four, one, network24, network48, again, company},
			what: "opens more connections than the server accepts, asks once on each, and is silent", limits: "connections = 1000\n",
		},
		{
			name: "4", attack: "slowreaders", allowed: latencyAllowed, protocols: newHTTP, attackers: []string{one, four, again, user, neighbor, company},
			what: "asks for answers of 100 KB that cannot be shared, and takes none",
		},
		{
			name: "5", attack: "chains", allowed: floodAllowed, protocols: onlyTLS, attackers: []string{four, one, network24, network48}, clientCA: true,
			what: "handshakes with a certificate of 100 bogus CAs", only: "the other servers ask for no client certificate here",
		},
		{
			name: "6", attack: "deepkey", allowed: latencyAllowed, protocols: newHTTP, attackers: []string{one, user}, secure: true,
			what: "writes keys of 12,000 levels, which etcd cannot read back from a snapshot", limits: "target_bytes = 30000\n", check: etcdRestarts,
			only: "the other servers have no connection to etcd in TLS here",
		},
		{
			name: "7a", attack: "guesses", allowed: latencyAllowed, protocols: newHTTP, attackers: []string{four, network24, network48, one},
			what: "has 17 wrong logins of each address in flight, or at least one",
		},
		{
			name: "7b", attack: "leavers", allowed: floodAllowed, protocols: oldFirst, attackers: []string{one, four},
			what: "sends wrong logins, each on a new connection, and leaves before the answer",
		},
		{
			name: "7c", attack: "guesses", allowed: latencyAllowed, protocols: newHTTP, attackers: []string{neighbor}, victims: []string{kindKnown},
			what: "guesses at the victim's address while the file of users changes", beside: changeUsers, every: 2 * time.Second, least: 4 * time.Second,
			only: "the other servers remember no logins",
		},
		{
			name: "8", attack: "halfheads", allowed: latencyAllowed, protocols: anyHTTP, attackers: []string{one, four},
			what: "sends nothing, or half a head, and stays; header_timeout is 2 s", limits: "header_timeout = \"2s\"\n", check: nothingIsHeld,
			least: 4 * time.Second,
			only:  "the other servers have other timeouts",
		},
		{
			name: "9", attack: "deepanswers", allowed: carryAllowed, protocols: newHTTP, attackers: []string{one, four, user},
			what: "writes deep keys with few bytes, asks for the large tree above them, and takes no answer",
		},
		{
			name: "9b", attack: "subtrees", allowed: carryAllowed, protocols: newHTTP, attackers: []string{one, four, user},
			what: "asks for many different large trees, one above the other, and takes no answer",
		},
		{
			name: "10", attack: "refusals", allowed: floodAllowed, protocols: oldFirst, attackers: []string{one, four},
			what: "sends writes with long paths that are refused, as fast as it can",
		},
		{
			name: "11", attack: "uploads", allowed: latencyAllowed, protocols: newHTTP, attackers: []string{one, four, user, neighbor},
			victims: []string{kindRead, kindWrite, kindLarge, kindLogin}, what: "sends half of 20 large bodies, then a byte now and then",
		},
		{
			name: "12", attack: "expiry", allowed: latencyAllowed, protocols: newHTTP, attackers: []string{one}, clientCA: true,
			what: "watches a restricted key with a certificate that expires", prepare: shortCertificate, beside: writeRestricted, every: 300 * time.Millisecond,
			check: secretsWereWritten, least: 4 * time.Second,
			only: "the other servers know no certificates here",
		},
		{
			name: "13", protocols: []string{attack.HTTP11}, attackers: []string{one}, check: rebinding,
			what: "a web page asks the admin address under a name of its own", only: "the other servers have no admin address",
		},
		{
			name: "14", protocols: onlyTLS, attackers: []string{one}, never: "no TLS library here can send a KeyUpdate; the lanes' tests do",
			what: "a KeyUpdate of TLS 1.3 after a long silence",
		},
		{
			name: "15", attack: "proposals", allowed: floodAllowed, protocols: newHTTP, attackers: []string{one, four},
			what: "asks for etcd's health and for heads of trees, as fast as it can",
		},
		{
			name: "16", attack: "hellos", allowed: floodAllowed, protocols: onlyTLS, attackers: []string{four, one, network24},
			what: "sends most of a ClientHello of 64 KiB on 3,000 connections, then a byte now and then",
		},
		{
			name: "17", attack: "pings", allowed: floodAllowed, protocols: []string{attack.HTTP2}, attackers: []string{four, one},
			what: "sends 14,000 PINGs on each of 1,000 connections, and takes no answer",
		},
		{
			name: "18", attack: "fill", allowed: carryAllowed, protocols: newHTTP, attackers: []string{one, user, four}, quota: 64 << 20,
			what: "writes values of 256 KB as fast as it can, which fill etcd's quota", onlyV3: "the v2 API has no quota",
			least: 6 * time.Second, only: "the other servers keep no keys in a v3 store",
		},
		{
			name: "19", attack: "queue", allowed: floodAllowed, protocols: newHTTP, attackers: []string{one, four, user},
			what: "POSTs to one queue on 200 connections, as fast as it can",
		},
		{
			name: "20", attack: "frames", allowed: latencyAllowed, protocols: []string{attack.HTTP2}, attackers: []string{one, four, network24},
			what: "sends PINGs, settings and empty frames on 1,000 connections, 25,000 a second in all, and takes the answers",
		},
		{
			name: "handshakes", attack: "handshakes", allowed: floodAllowed, protocols: onlyTLS, attackers: []string{one, four, network24, network48},
			what: "full handshakes without a request, as fast as it can",
		},
		{
			name: "fleet", attack: "fleet", protocols: []string{attack.HTTP11}, attackers: []string{one}, memory: 1 << 30, beside: writeFleet, every: 3 * time.Second, prepare: largeFleet,
			what: "no attack: 8,000 watchers behind one address; all must get all events", check: fleetIsServed,
			only: "the other servers accept fewer connections here",
		},
		{
			name: "connects", attack: "connects", protocols: []string{attack.HTTP11}, attackers: []string{one}, memory: 1 << 30,
			what: "no attack: 2,000 new connections a second from one address; all must be served", note: connectRate,
			only: "the other servers accept fewer connections here",
		},
	}
}

// companySize is how large the fleet beside the victims is. It is less than the share of one of
// six networks in the connections that row 3 lets the server accept: attackers in four networks
// must not be able to cut any of it. Each of its watchers gets an event from time to time.
const (
	companySize  = 120
	companyEvery = 2 * time.Second
)

// fleetAddress is the address of that fleet.
const fleetAddress = "127.3.3.1"

// victimAddress is the address of the victims, unless they are neighbors of the attackers.
const victimAddress = "127.2.2.1"

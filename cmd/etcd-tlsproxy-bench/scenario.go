package main

import (
	"encoding/base64"
	"fmt"
	"net/url"
	"strings"
	"time"
)

// scenario is one thing that is compared.
type scenario struct {
	name string
	what string
	// figure is the one whose ratio is shown: "cpu", "rate", "p99" or "memory".
	figure string
	etcd   bool // end to end, else before the upstream that answers at once
	load   load
	// not measured for these proxies, and why.
	except map[string]string
	// watch is a scenario of watches, instead of a load.
	watch *watchLoad
	// outage lets etcd die and come back, instead of a load.
	outage bool
	// variants of our own proxy, compared with it as it is; no other proxy then.
	variants []variant
}

// variant is our proxy under other circumstances.
type variant struct {
	name       string
	config     string // appended to the configuration
	limits     string // of it; without them no limit concerns a single address
	background *load  // what others do meanwhile
	// watches lets others send the head of an answer before there is a body.
	watches bool
}

// contenders are what a scenario compares, ours first.
func (sc *scenario) contenders() []variant {
	if sc.variants != nil {
		return append([]variant{{name: "ours"}}, sc.variants...)
	}
	var list []variant
	for _, name := range proxies {
		list = append(list, variant{name: name})
	}
	return list
}

// manyRules are n rules of their own prefixes, behind those that all have.
func manyRules(n int) string {
	b := &strings.Builder{}
	for i := range n {
		fmt.Fprintf(b, "\"/conftool/v1/pools/dc%d/cluster%d\" = [\"root\", \"conftool\"]\n", i%7, i)
	}
	return b.String()
}

// noAddressLimits lets all clients of the benchmark come from one address.
const noAddressLimits = "address_connections = 20000\naddress_handshakes = 1000000\nuser_watches = 20000\n"

// noLoginLimits lets a background reach the hashes. As the proxy is configured, an
// address is told to wait after 20 failures, and nearly nothing is hashed: with
// that limit it makes no difference which hash a user has.
const noLoginLimits = noAddressLimits + "login_burst = 1000000\nlogin_every = \"1us\"\n"

// wrong is a write with a password that is not right.
func wrongPassword(user string) []byte {
	credentials := base64.StdEncoding.EncodeToString([]byte(user + ":wrong"))
	return fmt.Appendf(nil, "DELETE /v2/keys/conftool/x HTTP/1.1\r\nHost: localhost\r\nAuthorization: Basic %s\r\n\r\n", credentials)
}

// passwordGuesses are wrong passwords of one user, 3,000 a second.
func passwordGuesses(user string) *load {
	return &load{Conns: 16, Rate: 3000, Requests: [][]byte{wrongPassword(user)}, Refused: true}
}

// floods are what a proxy has to bear from others.
func floods(request []byte) []variant {
	requests := [][]byte{request}
	return []variant{
		{name: "9000-idle", background: &load{Conns: 9000, Requests: requests, Idle: true}},
		{name: "1000-trickling", background: &load{Conns: 1000, Requests: requests, Trickle: true}},
		{name: "200-handshakes", background: &load{Conns: 8, Rate: 200, Requests: requests, Handshake: "full", Status: 200}},
		{name: "all-handshakes", background: &load{Conns: 64, Rate: 5000, Requests: requests, Handshake: "full", Status: 200}, limits: "address_handshakes = 200\n"},
	}
}

func getRequest(target string) []byte {
	return []byte("GET " + target + " HTTP/1.1\r\nHost: localhost\r\nUser-Agent: bench\r\n\r\n")
}

func putRequest(target string) []byte {
	form := url.Values{"value": {strings.Repeat("x", 60)}}.Encode()
	credentials := base64.StdEncoding.EncodeToString([]byte(benchUser + ":" + benchPassword))
	return fmt.Appendf(nil, "PUT %s HTTP/1.1\r\nHost: localhost\r\nAuthorization: Basic %s\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: %d\r\n\r\n%s",
		target, credentials, len(form), form)
}

const filesFor19000 = "etcd would need a file for each watcher, and it two"

// scenarios are all there are.
func scenarios() []scenario {
	var keys [][]byte
	for i := range treeKeys {
		keys = append(keys, getRequest("/v2/keys"+treeKey(i)))
	}
	one := [][]byte{getRequest("/v2/keys" + treeKey(0))}
	tree := [][]byte{getRequest("/v2/keys/conftool/v1/pools/?recursive=true")}
	write := [][]byte{putRequest("/v2/keys" + treeKey(0))}
	onlyTuned := map[string]string{"profile": "its watches are those of tuned", "haproxy": "one peer is enough where thousands of connections are made"}
	noAuth := map[string]string{"haproxy": "it knows no apr1 hashes"}
	return []scenario{
		{name: "get-null", what: "small GET, upstream answers at once", figure: "cpu", load: load{Conns: 64, Requests: keys}},
		{name: "get-500-keys", what: "small GETs over 500 keys", figure: "rate", etcd: true, load: load{Conns: 64, Requests: keys}},
		{name: "get-one-key", what: "small GET of one key", figure: "rate", etcd: true, load: load{Conns: 64, Requests: one}},
		{name: "get-tree", what: "recursive GET of 500 keys", figure: "rate", etcd: true, load: load{Conns: 16, Requests: tree}},
		{name: "put-null", what: "PUT with password, upstream answers at once", figure: "cpu", load: load{Conns: 64, Requests: write}, except: noAuth},
		{name: "put-etcd", what: "PUT with password", figure: "rate", etcd: true, load: load{Conns: 64, Requests: write}, except: noAuth},
		{name: "handshake-full", what: "full ECDSA handshakes, one request each", figure: "rate", load: load{Conns: 16, Requests: one, Handshake: "full"}},
		{name: "handshake-resumed", what: "resumed handshakes, one request each", figure: "rate", load: load{Conns: 16, Requests: one, Handshake: "resumed"}},
		{name: "open-5000", what: "5,000 requests a second, open loop", figure: "p99", etcd: true, load: load{Conns: 64, Requests: keys, Rate: 5000}},
		{name: "rules", what: "small GET, upstream answers at once, with 10,000 rules more", figure: "cpu", load: load{Conns: 64, Requests: keys},
			variants: []variant{{name: "10000-rules", config: manyRules(10_000)}}},
		{name: "login-storm", what: "2,000 reads a second, open loop, while one address tries 3,000 wrong passwords a second, with and without the limit on failed logins", figure: "p99", etcd: true,
			load: load{Conns: 32, Requests: keys, Rate: 2000},
			variants: []variant{{name: "apr1-storm", background: passwordGuesses(benchUser)}, {name: "bcrypt-storm", background: passwordGuesses("bcrypt")},
				{name: "apr1-unlimited", background: passwordGuesses(benchUser), limits: noLoginLimits}, {name: "bcrypt-unlimited", background: passwordGuesses("bcrypt"), limits: noLoginLimits}}},
		{name: "watch-one", what: "8,000 watchers of one prefix, 5 writes", figure: "last", etcd: true, except: onlyTuned,
			watch: &watchLoad{Watchers: 8000, Prefixes: 1, Events: 5}},
		{name: "watch-most", what: "19,000 watchers of one prefix, as many as 20,000 files allow, 5 writes", figure: "last", etcd: true,
			except: map[string]string{"tuned": filesFor19000, "profile": filesFor19000, "haproxy": filesFor19000},
			watch:  &watchLoad{Watchers: 19_000, Prefixes: 1, Events: 5}},
		{name: "watch-many", what: "50 watchers each of 200 prefixes, 5 times 200 writes", figure: "last", etcd: true, except: onlyTuned,
			watch: &watchLoad{Watchers: 50, Prefixes: 200, Events: 5}},
		{name: "stampede", what: "1,000 watchers of one prefix, which read the tree of 500 keys after each of 50 writes and watch again", figure: "total", etcd: true, except: onlyTuned,
			watch: &watchLoad{Watchers: 1000, Prefixes: 1, Events: 50, Reread: true}},
		{name: "floods", what: "2,000 reads a second, open loop, beside 9,000 idle connections, 1,000 that send a byte of a head a second, 200 new connections a second, or as many as 64 clients can make of one address with a limit of 200", figure: "p99", etcd: true,
			load: load{Conns: 32, Requests: keys, Rate: 2000}, variants: floods(getRequest("/v2/keys" + treeKey(0)))},
		{name: "outage", what: "etcd is killed for a second and comes back", figure: "back", etcd: true, outage: true},
		{name: "idle-memory", what: "memory of an idle TLS connection", figure: "memory", load: load{Conns: 2000, Requests: one, Idle: true, Duration: time.Second}},
	}
}

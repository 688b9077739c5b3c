package main

import (
	"encoding/base64"
	"fmt"
	"net/url"
	"strings"
	"time"
)

// scenario is one situation in which proxies are compared.
type scenario struct {
	name string
	what string
	// figure names the number whose ratio is reported, a key of figures.
	figure string
	// etcd puts the proxies in front of etcd. Otherwise the upstream answers at once, so
	// that only the proxy's own cost is measured.
	etcd bool
	load load
	// except holds kinds of proxies that are not measured, with the reason.
	except map[string]string
	// watch replaces load in scenarios of watches.
	watch *watchLoad
	// outage replaces load: etcd is killed and started again.
	outage bool
	// start replaces load: the proxies are started, and loaded trees are large.
	start bool
	// trees makes the other trees.
	trees bool
	// ours is what is special about ours, beside its variants.
	ours variant
	// variants of ours are compared with the unchanged one, and with no other proxy.
	variants []variant
}

// manyRules returns n further rules, each for a prefix of its own.
func manyRules(n int) string {
	b := &strings.Builder{}
	for i := range n {
		fmt.Fprintf(b, "\"/conftool/v1/pools/dc%d/cluster%d\" = [\"root\", \"conftool\"]\n", i%7, i)
	}
	return b.String()
}

// noAddressLimits lifts the limits of one address, which all clients of the benchmark
// share.
const noAddressLimits = "address_connections = 20000\naddress_handshakes = 1000000\nuser_watches = 20000\n"

// noLoginLimits lets every wrong password reach its hash. By default an address has to
// wait after 20 failed logins, hardly any password is hashed, and the kind of hash
// makes no difference.
const noLoginLimits = noAddressLimits + "login_burst = 1000000\nlogin_every = \"1us\"\n"

// wrongPassword returns a write with a wrong password.
func wrongPassword(user string) []byte {
	credentials := base64.StdEncoding.EncodeToString([]byte(user + ":wrong"))
	return fmt.Appendf(nil, "DELETE /v2/keys/conftool/x HTTP/1.1\r\nHost: localhost\r\nAuthorization: Basic %s\r\n\r\n", credentials)
}

// passwordGuesses is a load of 3,000 wrong passwords a second for one user.
func passwordGuesses(user string) *load {
	return &load{Conns: 16, Rate: 3000, Requests: [][]byte{wrongPassword(user)}, Refused: true}
}

// loginVariants compare two kinds of hashes, each with and without the limit on failed
// logins.
func loginVariants() []variant {
	return []variant{
		{suffix: "apr1-storm", background: passwordGuesses(benchUser)},
		{suffix: "bcrypt-storm", background: passwordGuesses("bcrypt")},
		{suffix: "apr1-unlimited", background: passwordGuesses(benchUser), limits: noLoginLimits},
		{suffix: "bcrypt-unlimited", background: passwordGuesses("bcrypt"), limits: noLoginLimits},
	}
}

// floodVariants are kinds of background load: idle connections, clients that send a
// byte a second, and new connections, within the limit of an address and beyond it.
func floodVariants(request []byte) []variant {
	requests := [][]byte{request}
	handshakes := func(conns int, rate float64) *load {
		return &load{Conns: conns, Rate: rate, Requests: requests, Handshake: "full", Status: 200}
	}
	return []variant{
		{suffix: "9000-idle", background: &load{Conns: 9000, Requests: requests, Idle: true}},
		{suffix: "1000-trickling", background: &load{Conns: 1000, Requests: requests, Trickle: true}},
		{suffix: "200-handshakes", background: handshakes(8, 200)},
		{suffix: "all-handshakes", background: handshakes(64, 5000), limits: "address_handshakes = 200\n"},
	}
}

func getRequest(target string) []byte {
	return []byte("GET " + target + " HTTP/1.1\r\nHost: localhost\r\nUser-Agent: bench\r\n\r\n")
}

func putRequest(target string) []byte {
	form := url.Values{"value": {strings.Repeat("x", 60)}}.Encode()
	credentials := base64.StdEncoding.EncodeToString([]byte(benchUser + ":" + benchPassword))
	return fmt.Appendf(nil, "PUT %s HTTP/1.1\r\nHost: localhost\r\nAuthorization: Basic %s\r\n"+
		"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: %d\r\n\r\n%s", target, credentials, len(form), form)
}

// scenarios returns all scenarios, in the order of the report.
func scenarios() []scenario {
	var keys [][]byte
	for i := range treeKeys {
		keys = append(keys, getRequest("/v2/keys"+treeKey(i)))
	}
	one := [][]byte{getRequest("/v2/keys" + treeKey(0))}
	tree := [][]byte{getRequest("/v2/keys/conftool/v1/pools/?recursive=true")}
	write := [][]byte{putRequest("/v2/keys" + treeKey(0))}
	noAuth := map[string]string{"haproxy": "it does not support apr1 hashes"}
	list := []scenario{
		{name: "get-null", what: "small GET, upstream answers at once", figure: "cpu",
			load: load{Conns: 64, Requests: keys}},
		{name: "get-500-keys", what: "small GETs over 500 keys", figure: "rate", etcd: true,
			load: load{Conns: 64, Requests: keys}},
		{name: "get-one-key", what: "small GET of one key", figure: "rate", etcd: true,
			load: load{Conns: 64, Requests: one}},
		{name: "get-tree", what: "recursive GET of 500 keys", figure: "rate", etcd: true,
			load: load{Conns: 16, Requests: tree}},
		{name: "put-null", what: "PUT with password, upstream answers at once", figure: "cpu", except: noAuth,
			load: load{Conns: 64, Requests: write}},
		{name: "put-etcd", what: "PUT with password", figure: "rate", etcd: true, except: noAuth,
			load: load{Conns: 64, Requests: write}},
		{name: "handshake-full", what: "full ECDSA handshakes, one request each", figure: "rate",
			load: load{Conns: 16, Requests: one, Handshake: "full"}},
		{name: "handshake-resumed", what: "resumed handshakes, one request each", figure: "rate",
			load: load{Conns: 16, Requests: one, Handshake: "resumed"}},
		{name: "first-answer-full", what: "first answer on a fresh connection, full handshake, one client with Nagle's algorithm", figure: "p99",
			load: load{Conns: 1, Requests: one, Handshake: "full", Nagle: true}},
		{name: "first-answer-resumed", what: "first answer on a fresh connection, resumed handshake, one client with Nagle's algorithm", figure: "p99",
			load: load{Conns: 1, Requests: one, Handshake: "resumed", Nagle: true}},
		{name: "open-5000", what: "5,000 requests a second, open loop", figure: "p99", etcd: true,
			load: load{Conns: 64, Requests: keys, Rate: 5000}},
		{name: "rules", what: "small GET, upstream answers at once, with 10,000 more rules", figure: "cpu",
			load: load{Conns: 64, Requests: keys}, variants: []variant{{suffix: "10000-rules", config: manyRules(10_000)}}},
		{name: "login-storm", figure: "p99", etcd: true,
			what: "2,000 reads a second, open loop, while one address tries 3,000 wrong passwords a second, " +
				"with and without the limit on failed logins",
			load: load{Conns: 32, Requests: keys, Rate: 2000}, variants: loginVariants()},
	}
	list = append(list, watchScenarios()...)
	list = append(list, storeScenarios(keys, tree, write)...)
	return append(list,
		scenario{name: "floods", figure: "p99", etcd: true,
			what: "2,000 reads a second, open loop, beside 9,000 idle connections, 1,000 that send a byte of a head a second, " +
				"200 new connections a second, or as many as 64 clients of one address can make when its limit is 200",
			load: load{Conns: 32, Requests: keys, Rate: 2000}, variants: floodVariants(one[0])},
		scenario{name: "outage", what: "etcd is killed for a second and comes back", figure: "back", etcd: true, outage: true},
		scenario{name: "idle-memory", what: "memory of an idle TLS connection", figure: "memory",
			load: load{Conns: 2000, Requests: one, Idle: true, Duration: time.Second}},
	)
}

// watchScenarios returns the scenarios whose clients watch. One other proxy is enough
// where thousands of connections are made.
func watchScenarios() []scenario {
	tunedOnly := map[string]string{
		"profile": "its watches are those of tuned",
		"haproxy": "tuned stands for the proxies that open a connection to etcd for each watch",
	}
	const files = "etcd would need a descriptor for each watcher, and the proxy two"
	oursOnly := map[string]string{"tuned": files, "profile": files, "haproxy": files}
	return []scenario{
		{name: "watch-one", what: "8,000 watchers of one prefix, 5 writes", figure: "last", etcd: true, except: tunedOnly,
			watch: &watchLoad{Watchers: 8000, Prefixes: 1, Events: 5}},
		{name: "watch-most", what: "19,000 watchers of one prefix, as many as 20,000 descriptors allow, 5 writes", figure: "last", etcd: true,
			except: oursOnly, watch: &watchLoad{Watchers: 19_000, Prefixes: 1, Events: 5}},
		{name: "watch-many", what: "50 watchers for each of 200 prefixes, 5 times 200 writes", figure: "last", etcd: true, except: tunedOnly,
			watch: &watchLoad{Watchers: 50, Prefixes: 200, Events: 5}},
		{name: "stampede", figure: "total", etcd: true, except: tunedOnly,
			what:  "1,000 watchers of one prefix, which read the tree of 500 keys after each of 50 writes and watch again",
			watch: &watchLoad{Watchers: 1000, Prefixes: 1, Events: 50, Reread: true}},
	}
}

// storeScenarios returns the scenarios that compare this proxy on a v3 store with itself on the v2 API.
func storeScenarios(keys, tree, write [][]byte) []scenario {
	var quorum, others [][]byte
	for i := range treeKeys {
		quorum = append(quorum, getRequest("/v2/keys"+treeKey(i)+"?quorum=true"))
	}
	for i := range trees {
		others = append(others, getRequest(fmt.Sprintf("/v2/keys/conftool/v1/trees/%d/?recursive=true", i)))
	}
	v3 := []variant{{suffix: "v3", v3: true}}
	const nginxAlone = "nginx tuned is the fastest of the others"
	return []scenario{
		{name: "v3-get-500-keys", what: "small GETs over 500 keys, on a v3 store", figure: "rate", etcd: true, variants: v3,
			load: load{Conns: 64, Requests: keys}},
		{name: "v3-get-tree", what: "recursive GET of 500 keys, on a v3 store", figure: "rate", etcd: true, variants: v3,
			load: load{Conns: 16, Requests: tree}},
		{name: "v3-get-20-trees", what: "recursive GETs of 20 trees of 500 keys each, on a v3 store", figure: "rate", etcd: true, variants: v3,
			trees: true, load: load{Conns: 16, Requests: others}},
		{name: "v3-get-quorum", what: "small quorum GETs over 500 keys, on a v3 store", figure: "rate", etcd: true, variants: v3,
			load: load{Conns: 64, Requests: quorum}},
		{name: "v3-put", what: "PUT with password, on a v3 store", figure: "rate", etcd: true, variants: v3,
			load: load{Conns: 64, Requests: write}},
		{name: "v3-put-tuned", what: "PUT with password, ours on a v3 store and nginx before the v2 API", figure: "rate", etcd: true,
			ours: variant{v3: true}, except: map[string]string{"profile": nginxAlone, "haproxy": nginxAlone},
			load: load{Conns: 64, Requests: write}},
		{name: "v3-open-20000", what: "20,000 requests a second, open loop, on a v3 store", figure: "busy", etcd: true, variants: v3,
			load: load{Conns: 64, Requests: keys, Rate: 20_000}},
		{name: "v3-watch-one", what: "8,000 watchers of one prefix, 5 writes, on a v3 store", figure: "last", etcd: true, variants: v3,
			watch: &watchLoad{Watchers: 8000, Prefixes: 1, Events: 5}},
		{name: "v3-watch-many", what: "50 watchers for each of 200 prefixes, 5 times 200 writes, on a v3 store", figure: "last", etcd: true, variants: v3,
			watch: &watchLoad{Watchers: 50, Prefixes: 200, Events: 5}},
		{name: "v3-start", what: "start, and the load of 100,000 keys from a v3 store", figure: "start", etcd: true, start: true,
			variants: []variant{{suffix: "v3", v3: true, prefix: largePrefix}}},
	}
}

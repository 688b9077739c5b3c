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
}

func get(target string) []byte {
	return []byte("GET " + target + " HTTP/1.1\r\nHost: localhost\r\nUser-Agent: bench\r\n\r\n")
}

func put(target string) []byte {
	form := url.Values{"value": {strings.Repeat("x", 60)}}.Encode()
	credentials := base64.StdEncoding.EncodeToString([]byte(benchUser + ":" + benchPassword))
	return fmt.Appendf(nil, "PUT %s HTTP/1.1\r\nHost: localhost\r\nAuthorization: Basic %s\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: %d\r\n\r\n%s",
		target, credentials, len(form), form)
}

// scenarios are all there are.
func scenarios() []scenario {
	var keys [][]byte
	for i := range treeKeys {
		keys = append(keys, get("/v2/keys"+treeKey(i)))
	}
	one := [][]byte{get("/v2/keys" + treeKey(0))}
	tree := [][]byte{get("/v2/keys/conftool/v1/pools/?recursive=true")}
	write := [][]byte{put("/v2/keys" + treeKey(0))}
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
		{name: "idle-memory", what: "memory of an idle TLS connection", figure: "memory", load: load{Conns: 2000, Requests: one, Idle: true, Duration: time.Second}},
	}
}

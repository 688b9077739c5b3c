package proxy_test

import (
	"fmt"
	"strings"
)

// climbs are spellings of "one level up" that some server resolves.
var climbs = []string{
	"../", "..//", "./../", "/../", ".//../", "./", "%2e%2e/", "%2E%2E/", "%2e./", ".%2e/", ".%2E/", "%2e/",
	"..%2f", "..%2F", "%2e%2e%2f", "%2f..%2f", "%2f%2e%2e%2f", "..%2f..%2f", "%2f", "..%5c", "..%5C", `..\`, "%5c..%5c", `\..\`,
	"..%00/", "..%00%2f", "%00/../", "..%01/", "..%09/", "..%0a/", "..%0d%0a/", "..%1f/", "..%7f/", "..\x00/", "..\t/", "..\x0b/", "..\x7f/", "..\r/",
	"..#/", "#/../", "#/../../", "..%23/../", "%c0%ae%c0%ae/", "%c0%ae./", "..%c0%af", "%e0%80%ae%e0%80%ae/", "..%e0%80%af", "..%c1%9c", "%f0%80%80%ae%f0%80%80%ae/",
	"%ff/", "\xc0\xae\xc0\xae/", "\xff/../", "..%", "..%zz/", "%u002e%u002e/", "..%u2215", "..%%32%66", "%%32%65%%32%65/", "%2 e%2e/", " ../", "../ /", ";/../", "a/../../",
	"..;/../", "%2e%2e;/../", "...//../",
}

// lookalikes climb on some servers but are ordinary names to etcd.
var lookalikes = []string{
	".", "..", "%2e%2e", "..%2", "..;/", "..%3b/", "..;a=b/", "..%20/", "%20../", ".../", "....//", "..../", "%252e%252e/", "%252e%252e%252f", "..%252f", "..%255c", "%25%32%65/",
	"\xe2\x80\xa5/", "%ef%bc%8e%ef%bc%8e/", "..%ef%bc%8f", "..%e2%88%95", "..\xe2\x88\x95", "~/", "..~/", "%2a/", "..:/", "..%3a/", "..@/", "..+/", "..,/",
	"..&/", "..=/", "..|/", "..%7c/", `.."/`, "..</", "..^/", "..`/", "..{/", "..%23/", "..%3f/", "%25/",
}

func climbingAttacks() attacks {
	c := attacks{name: "climbing out of a prefix", source: "Orange Tsai, Breaking Parser Logic (Black Hat 2018); CVE-2021-41773, CVE-2021-42013, CVE-2007-0450, CVE-2020-5902, CVE-2023-45539; RFC 3986 5.2.4; golang/go#70130"}
	for _, method := range []string{"PUT", "POST", "DELETE"} {
		write := func(climb string) string {
			return request(method, "/v2/keys/eventlogging/"+climb+"conftool/x?recursive=true", "", "value=attack")
		}
		c.list = append(c.list, each(climbs, 0, write)...)
		c.list = append(c.list, each(lookalikes, 1, write)...)
	}
	for _, hidden := range []string{"0/members", "2/users/root"} {
		c.list = append(c.list, each(climbs, 0, func(climb string) string {
			return request("GET", "/v2/keys/"+climb+hidden+"?recursive=true", "", "")
		})...)
	}
	c.list = append(c.list, each([]string{
		"/v2/keys/../members", "/v2/keys/..%2fmembers", "/v2/./members", "/v2/%2e/members", "/v2/keys/%2e%2e/auth/users/root", "/version/../v2/members", "/health/..%2fv3/kv/put",
		"/metrics/%2e%2e/v2/auth/enable", "/v2%2fkeys/x", "/v2%2Fmembers", "%2fv2/members", "v2/members", "/v2/keys%2f..%2fmembers", "/%2e/v2/members", `\v2\members`, `/v2\members`,
	}, 0, func(target string) string { return request("PUT", target, by("root"), "value=attack") })...)
	return c
}

func boundaryAttacks() attacks {
	c := attacks{name: "neighbors and ancestors of a prefix", source: "the nginx site's byte-wise prefixes; CWE-187, CWE-863"}
	neighbors := []string{
		"eventloggingX", "eventlogging-", "eventlogging.", "eventlogging..", "eventlogging%20", "eventlogging;", "eventlogging%3b", "eventlogging%2e", "eventlogging~", "eventlogging_", "Eventlogging",
		"EVENTLOGGING", "eventloggin", "eventlogging:x", "eventlogging*", "eventlogging%25", "eventlogging%252fx", "eventlogging\xc2\xa0", "eventlogging%e2%80%8b/x", "_eventlogging/x", "%20eventlogging/x",
		"x/eventlogging/x", "conftool/eventlogging/x", "*", "%2a", "eventlogging%ef%bc%8fx", "\xd0\xb5ventlogging/x",
	}
	for _, method := range []string{"PUT", "DELETE"} {
		c.list = append(c.list, each(neighbors, 0, func(key string) string { return request(method, "/v2/keys/"+key, "", "value=attack") })...)
		c.list = append(c.list, each([]string{"conftoolX", "conftool-v2/x", "conftool.", "Conftool/x", "conftool%20", "conftoo", "_conftool", "eventlogging2/x", "x", "0", "secret"}, 0,
			func(key string) string { return request(method, "/v2/keys/"+key, by("conftool"), "value=attack") })...)
	}
	for _, target := range []string{"/v2/keys", "/v2/keys/", "//v2//keys//", "/v2/keys/?recursive=true", "/v2/keys?dir=true&recursive=true", "/v2/keys/?dir=true&prevExist=true&ttl=1000", "http://h/v2/keys/?recursive=true"} {
		for _, method := range []string{"PUT", "POST", "DELETE"} {
			for _, user := range []string{"", "conftool"} {
				fields := ""
				if user != "" {
					fields = by(user)
				}
				c.list = append(c.list, attack{fmt.Sprintf("%s %s by %q", method, target, user), request(method, target, fields, "dir=true&ttl=1000&prevExist=true"), 0})
			}
		}
	}
	return c
}

func reservedAttacks() attacks {
	c := attacks{name: "keys that etcd treats as its own", source: "etcd's apply of v2 writes, which matches its members' attributes anywhere in a key"}
	keys := []string{
		"0/members/1/attributes", "a/0/members/1/attributes", "a/b/c/0/members/8e9e05c52164694d/attributes", "0/members/DEADbeef/attributes", "0/members/1/attributesX", "0/members/1/attributes/x",
		"0/members/1/attributes%20", "%30/members/1/attributes", "0/%6dembers/1/attributes", "0/members/%31/attributes", "0/members/1/%61ttributes", "0/members/1/attribute%73", "0//members/1/attributes",
		"0/members//1//attributes", "0/members/1/attributes/", "x0/0/members/1/attributes", "0/0/members/1/attributes", "0/members/1/0/members/2/attributes", "0/members/0000000000000001/attributes",
		"0/members/1/attributes?dir=true", "0/members/1/attributes?value=%7b%7d", "0/members/1/attributes?refresh=true&ttl=1000", "0/members/1/attributes%23x", "0/members/1/attributes;x", "_/0/members/1/attributes",
	}
	for _, method := range []string{"PUT", "POST", "DELETE"} {
		c.list = append(c.list, each(keys, 0, func(key string) string { return request(method, "/v2/keys/eventlogging/"+key, "", "value=attack") })...)
	}
	c.list = append(c.list, each(keys[:10], 0, func(key string) string { return request("PUT", "/v2/keys/"+key, by("root"), "value=attack") })...)
	return c
}

func surfaceAttacks() attacks {
	c := attacks{name: "other paths on etcd's port", source: "CVE-2018-16886, CVE-2021-28235, CVE-2018-1098, CVE-2018-1099; etcd's v2 and v3 references"}
	for _, path := range []string{
		"/v2/members", "/v2/members/", "/v2/members/1", "/v2/members/leader", "/v2/auth/users/root", "/v2/auth/enable", "/v2/auth/roles/guest", "/v2/admin/config", "/v2/leader", "/v2/machines",
		"/v2/stats/self", "/v2/stats/store", "/version", "/health", "/metrics", "/config/local/log", "/debug/vars", "/debug/pprof/heap", "/debug/requests", "/v3/kv/put", "/v3/kv/range", "/v3/kv/deleterange",
		"/v3/kv/txn", "/v3/kv/compaction", "/v3/lease/grant", "/v3/auth/enable", "/v3/auth/user/add", "/v3/cluster/member/add", "/v3/cluster/member/remove", "/v3/maintenance/defragment",
		"/v3/maintenance/alarm", "/v3/maintenance/snapshot", "/v3/maintenance/transfer-leadership", "/v3/maintenance/downgrade", "/v3beta/kv/put", "/v3alpha/kv/put", "/v3/lock/lock", "/v3/election/campaign",
		"/v3/watch", "/etcdserverpb.KV/Put", "/etcdserverpb.Maintenance/Snapshot", "/etcdserverpb.Auth/AuthEnable", "/raft", "/raft/stream/message/1", "/members", "/leases", "/downgrade/enabled", "/", "/v2", "/v2/",
		"/v1/keys/x", "/V2/keys/eventlogging/x", "/v2/Keys/eventlogging/x", "/v2/keysX/eventlogging", "/v2/key/eventlogging", "/%76%33/kv/put", "//v3//kv//put", "/v3%2fkv%2fput", "/v2;/members", "/v2/members;x",
		"/v2/members%20", "/v2/members%00", "/debug%2fvars", "/v3/kv/put?x=/v2/keys/eventlogging", "/v3/kv/put#/v2/keys/eventlogging", "http://127.0.0.1:2379/v3/kv/put", "https://h/v2/members",
	} {
		for _, method := range []string{"POST", "PUT", "DELETE"} {
			c.list = append(c.list, attack{method + " " + path, request(method, path, "", `{"key":"Zm9v","value":"YmFy"}`), 0})
		}
	}
	for _, path := range []string{"/debug/vars", "/v2/auth/users", "/v2/auth/users/root", "/config/local/log", "/v3/kv/range", "/", "/v2", "/raft", "/debug/pprof/", "/v3/maintenance/snapshot", "/metrics/", "/version/x", "/v2/stats", "/v2/stats/x", "/swagger", "/favicon.ico"} {
		passes := 0
		if path == "/metrics/" {
			passes = 1 // the proxy removes the slash
		}
		c.list = append(c.list, attack{"GET " + path, request("GET", path, by("root"), ""), passes})
	}
	return c
}

func upgradeAttacks() attacks {
	const websocket = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
	const h2c = "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n"
	c := attacks{name: "tunnels", source: "Jake Miller, h2c Smuggling (Bishop Fox 2020); Mikhail Egorov, WebSocket smuggling (2019); RFC 9113 3.4"}
	for _, path := range []string{"/v3/kv/put", "/v3/watch", "/v2/keys/eventlogging/x", "/v2/members", "/health"} {
		for name, fields := range map[string]string{
			"WebSocket": websocket, "WebSocket of an old version": strings.Replace(websocket, "13", "777", 1), "h2c": h2c, "h2c without its settings": "Connection: Upgrade\r\nUpgrade: h2c\r\n",
			"TLS": "Connection: Upgrade\r\nUpgrade: TLS/1.0\r\n", "an upgrade that Connection does not name": "Upgrade: websocket\r\n", "two upgrades": "Connection: upgrade\r\nUpgrade: a\r\nUpgrade: h2c\r\n", "in capitals": "CONNECTION: UPGRADE\r\nUPGRADE: WEBSOCKET\r\n",
			"an empty one": "Connection: Upgrade\r\nUpgrade: \r\n",
		} {
			passes := 1 // the wish is dropped, and etcd gets an ordinary request
			if strings.HasPrefix(path, "/v3") {
				passes = 0
			}
			c.list = append(c.list, attack{name + " on " + path, request("GET", path, fields, ""), passes})
		}
	}
	c.list = append(c.list,
		attack{"HTTP/2 without asking", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00", 0},
		attack{"HTTP/2 behind a request", request("GET", canaryKey+"2", "", "") + "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 1},
		attack{"CONNECT to etcd", "CONNECT 127.0.0.1:2379 HTTP/1.1\r\nHost: 127.0.0.1:2379\r\n\r\n", 0},
		attack{"CONNECT to a path", "CONNECT /v2/keys/eventlogging/x HTTP/1.1\r\nHost: h\r\n\r\n", 0},
		attack{"extended CONNECT", "CONNECT /v3/watch HTTP/1.1\r\nHost: h\r\nProtocol: websocket\r\n\r\n", 0},
		attack{"TLS in TLS", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 0},
		attack{"PROXY protocol", "PROXY TCP4 127.0.0.1 127.0.0.1 1 2\r\n" + request("GET", "/v2/keys/eventlogging/x", "", ""), 0},
		attack{"PROXY protocol in binary", "\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c\x7f\x00\x00\x01\x7f\x00\x00\x01\x00\x01\x00\x02" + request("GET", "/v2/keys/eventlogging/x", "", ""), 0},
	)
	return c
}

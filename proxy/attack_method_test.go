package proxy_test

import (
	"encoding/base64"
	"strings"

	"etcd-tlsproxy/proxy/proxytest/fronttest"
)

func methodAttacks() attacks {
	c := attacks{name: "methods", source: "RFC 9110 9; CVE-2016-10033's like in method overrides; WebDAV"}
	c.list = each([]string{
		"PATCH", "TRACE", "TRACK", "CONNECT", "put", "Put", "pUT", "delete", "get", "Get", "SYNC", "QGET", "PROPFIND", "MKCOL", "COPY", "MOVE", "LOCK", "UNLOCK", "SEARCH", "PURGE", "BAN", "DEBUG", "LINK", "UNLINK",
		"QUERY", "PUTX", "XPUT", "PUT\x00", "P\x55T\t", "\"PUT\"", "PUT;", "PUT/", "GET,PUT", "!", "A", strings.Repeat("A", 5000), "\xd0\xa0UT", "P T", "", " PUT", "\tPUT", "PRI",
	}, 0, func(method string) string { return request(method, "/v2/keys/eventlogging/x", "", "value=attack") })
	c.list = append(c.list, each([]string{
		"X-HTTP-Method-Override: PUT", "X-HTTP-Method: PUT", "X-Method-Override: DELETE", "X-Http-Method-Override: DELETE\r\nX-Original-Method: DELETE", "Content-Type: application/x-www-form-urlencoded\r\nX-Method: PUT",
	}, 1, func(field string) string {
		return request("GET", "/v2/keys/conftool/x?_method=PUT&method=DELETE&value=attack", field+"\r\n", "")
	})...)
	return c
}

func authorizationAttacks() attacks {
	c := attacks{name: "identity", source: "RFC 7617; RFC 7235 2.1; CVE-2018-14773, CVE-2022-31813; CWE-287, CWE-290"}
	pair := func(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }
	right := strings.TrimPrefix(fronttest.Basic("conftool"), "Basic ")
	c.list = each([]string{
		"Authorization: Basic", "Authorization: Basic ", "Authorization: Basic =", "Authorization: Basic " + pair("conftool"), "Authorization: Basic " + pair("conftool:"), "Authorization: Basic " + pair(":conftool-pw"),
		"Authorization: Basic " + pair("conftool:wrong"), "Authorization: Basic " + pair("conftool:conftool-pw\x00"), "Authorization: Basic " + pair("conftool\x00:conftool-pw"), "Authorization: Basic " + pair(" conftool:conftool-pw"),
		"Authorization: Basic " + pair("Conftool:conftool-pw"), "Authorization: Basic " + pair("conftool:conftool-pw "), "Authorization: Basic " + pair("conftool:conftool-pw\n"), "Authorization: Basic " + pair("conftool:conftool-pw:x"),
		"Authorization: Basic " + pair("conftool:CONFTOOL-PW"), "Authorization: Basic " + pair("conftool\n:conftool-pw"), "Authorization: Basic " + pair("nobody:"), "Authorization: Basic " + pair("*:*"), "Authorization: Basic " + pair("root'--:x"),
		"Authorization: Basic " + pair("conftool:$apr1$"), "Authorization: Basic " + pair("alice:alice-pw"), "Authorization: Basic " + right + "!", "Authorization: Basic " + right + "," + right,
		"Authorization: Basic " + right + " x", "Authorization: Basic\t" + right, "Authorization: Basic:" + right, "Authorization: Basic" + right, "Authorization: Bearer " + right, "Authorization: Digest username=\"conftool\"", "Authorization: Negotiate " + right,
		"Authorization: " + right, "Authorization: \"Basic " + right + "\"", "Authorization: Basic %20" + right, "Authorization: BasicX " + right, "Authorization: Basic " + strings.ToLower(right), "Authorization: Basic -_" + right,
		"Proxy-Authorization: Basic " + right, "X-Authorization: Basic " + right, "Authorization_: Basic " + right, "authorization.: Basic " + right, "WWW-Authenticate: Basic " + right, "Cookie: Authorization=Basic " + right,
		"X-Forwarded-User: root", "X-Remote-User: root", "Remote-User: root", "REMOTE_USER: root", "X-User: root", "X-Client-Cert: root", "X-SSL-Client-S-DN: CN=root", "X-SSL-Client-Verify: SUCCESS", "X-Forwarded-Client-Cert: Subject=\"CN=root\"",
		"X-Forwarded-For: 127.0.0.1", "X-Real-IP: 127.0.0.1", "Forwarded: for=127.0.0.1;by=root", "X-Original-URL: /v2/keys/eventlogging/x", "X-Rewrite-URL: /v2/keys/eventlogging/x", "X-Forwarded-Prefix: /v2/keys/eventlogging", "From: root", "Via: root",
		"Authorization: Basic " + right + "\r\nAuthorization: Basic " + right, "Authorization: Basic " + pair("a:b") + "\r\nAuthorization: Basic " + right, "Authorization: Basic " + right + "\r\nauthorization: Basic " + pair("a:b"),
		"Authorization :Basic " + right, " Authorization: Basic " + right, "Authorization\t: Basic " + right, "Authorization: Basic\r\n " + right, "Authorization: Basic " + right + "\x00", "Authorization:\x0bBasic " + right, "Authorization\x00: Basic " + right,
		"Authorization: Basic \x01" + right, "Connection: close, Authorization\r\nAuthorization: Basic " + pair("conftool:wrong"), "Authorization: Basic " + pair(strings.Repeat("a", 9000)+":x"), "Authorization: Basic " + pair("conftool:"+strings.Repeat("x", 9000)),
	}, 0, func(field string) string { return request("PUT", "/v2/keys/conftool/x", field+"\r\n", "value=attack") })
	c.list = append(c.list, each([]string{"https://conftool:conftool-pw@h/v2/keys/conftool/x", "http://root@h/v2/keys/conftool/x", "/v2/keys/conftool/x?user=root&password=root-pw"}, 0,
		func(target string) string { return request("PUT", target, "", "value=attack") })...)
	// These spellings carry the right password; the user has no right to the key.
	c.list = append(c.list, each([]string{"Authorization: basic " + right, "AUTHORIZATION: BASIC " + right, "Authorization:Basic " + right, "Authorization: \tBasic  " + right + " \t", "Authorization: Basic " + strings.TrimRight(right, "="), "Authorization: Basic " + right + "="}, 0,
		func(field string) string { return request("PUT", "/v2/keys/secret", field+"\r\n", "value=attack") })...)
	return c
}

func forgedFieldAttacks() attacks {
	c := attacks{name: "fields that are not for etcd", source: "Nathan Davison, Abusing HTTP hop-by-hop request headers (2019); CVE-2021-33197, CVE-2022-31813, CVE-2016-5385; RFC 9110 7.6.1"}
	c.list = each([]string{
		"Connection: Content-Type", "Connection: Host", "Connection: Content-Length", "Connection: close, X-Forwarded-For", "Connection: keep-alive, Authorization", "Connection: Transfer-Encoding", "Connection: Accept\r\nAccept: x",
		"Keep-Alive: timeout=1000", "Proxy-Connection: keep-alive", "TE: trailers", "TE: gzip, chunked", "Proxy: http://evil", "Host2: x", "X-Host: evil", "X-Forwarded-Host: evil", "X-Forwarded-Proto: http", "X-Forwarded-Port: 2379",
		"Via: 1.1 evil", "Max-Forwards: 0", "Range: bytes=0-0", "If-None-Match: *", "If-Modified-Since: Thu, 01 Jan 1970 00:00:00 GMT", "Cache-Control: only-if-cached", "Pragma: no-cache", "Origin: http://evil",
		"Access-Control-Request-Method: PUT", "Cookie: a=b", "Referer: http://evil/?p=secret", "X-Etcd-Index: 99999", "X-Raft-Index: 1", "X-Etcd-Cluster-Id: 0", "Grpc-Timeout: 1S", "Grpc-Metadata-authorization: x", "Content-Encoding: gzip",
		"Content-MD5: x", "Content-Location: /v2/keys/secret", "Destination: /v2/keys/secret", "Depth: infinity", "Accept: application/grpc", "Accept-Encoding: \xff", "User-Agent: \xff\xfe", "Malformed-Request: A", "X_User: 1", "HTTP2-Settings: AAMAAABk",
		"Alt-Used: evil", "Early-Data: 1", "Sec-Fetch-Mode: no-cors", "Priority: u=0", "X-Accel-Redirect: /v2/keys/secret", "X-Sendfile: /etc/passwd", "Link: </x>; rel=preload", "Upgrade-Insecure-Requests: 1",
	}, 1, func(field string) string {
		return request("PUT", "/v2/keys/eventlogging/x", field+"\r\n", "value=attack")
	})
	c.list = append(c.list, each([]string{"X_Forwarded_For: 1", "x_real_ip: 1", "Content_Length: 1", "Transfer_Encoding: chunked", "content_type: x"}, 0,
		func(field string) string {
			return request("PUT", "/v2/keys/eventlogging/x", field+"\r\n", "value=attack")
		})...)
	return c
}

func parameterAttacks() attacks {
	c := attacks{name: "parameters", source: "CWE-235; Luca Carettoni and Stefano di Paola, HTTP Parameter Pollution (2009); etcd's reading of forms"}
	c.list = each([]string{
		"x?recursive=false&recursive=true", "x?%72ecursive=true", "x?dir=true&ttl=1000", "x?prevExist=%zz", "x??recursive=true", "x?", "x?&&&", "x?=", "x?value=%00", "x?value=%0d%0aDELETE%20/", "x?ttl=18446744073709551615",
		"x?ttl=-1", "x?wait=true", "x?stream=true", "x?quorum=true", "x?method=DELETE", "x?key=/conftool/x", "x?prefix=/", "x?../../conftool/x", "x?/../../conftool", "x?%2e%2e%2f", "x?http://evil", "x?\xff", "x?%ff", "x?[]=1", "x?{}", "x?|", "x?\\..\\", "x?\"",
	}, 1, func(target string) string {
		return request("PUT", "/v2/keys/eventlogging/parameters/"+target, "", "value=attack")
	})
	c.list = append(c.list, each([]string{"x?a#b", "x?#", "x?a b", "x?a\tb", "x?\x00", "x?\x7f", "x?\x0b", "x?a\rb"}, 0,
		func(target string) string { return request("PUT", "/v2/keys/eventlogging/"+target, "", "value=attack") })...)
	c.list = append(c.list, each([]string{
		"multipart/form-data; boundary=x", "application/json", "text/plain", "application/x-www-form-urlencoded; charset=utf-7", "application/grpc", "APPLICATION/X-WWW-FORM-URLENCODED", "\xff", "a/b; c=\"d\\\"", ";",
	}, 1, func(kind string) string {
		return "PUT /v2/keys/eventlogging/kind HTTP/1.1\r\nHost: h\r\nContent-Type: " + kind + "\r\nContent-Length: 16\r\n\r\nvalue=1&dir=true"
	})...)
	c.list = append(c.list, attack{"two types", "PUT /v2/keys/eventlogging/x HTTP/1.1\r\nHost: h\r\nContent-Type: text/plain\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 0\r\n\r\n", 0})
	return c
}

func sizeAttacks() attacks {
	c := attacks{name: "sizes", source: "CVE-2013-2028, CVE-2019-9517's like in HTTP/1; CWE-770"}
	long := strings.Repeat("x", 70_000)
	put := func(fields, body string) string {
		return "PUT /v2/keys/eventlogging/x HTTP/1.1\r\nHost: h\r\n" + fields + "\r\n" + body
	}
	c.list = []attack{
		{"a path of 4,001 bytes", request("GET", "/v2/keys/eventlogging/"+long[:4001-22], "", ""), 0},
		{"a path of 70,000", request("GET", "/v2/keys/"+long, "", ""), 0},
		{"a path that grows in encoding", request("GET", "/v2/keys/"+strings.Repeat("{", 2000), "", ""), 0},
		{"a thousand segments", request("PUT", "/v2/keys/eventlogging"+strings.Repeat("/a", 2000), "", "value=1"), 0},
		{"ten thousand slashes", request("PUT", "/v2/keys/eventlogging"+strings.Repeat("/", 10_000)+"x", "", "value=1"), 0},
		{"a query of 4,000 bytes", request("GET", "/v2/keys/eventlogging?"+long[:4000], "", ""), 0},
		{"a thousand parameters", request("GET", "/v2/keys/eventlogging?"+strings.Repeat("a&", 2000), "", ""), 0},
		{"an absolute form of 70,000", request("GET", "http://"+long+"/v2/keys/x", "", ""), 0},
		{"a field of 33,000", put("A: "+long[:33_000]+"\r\n", ""), 0},
		{"a name of 33,000", put(long[:33_000]+": a\r\n", ""), 0},
		{"200 fields", put(strings.Repeat("A: b\r\n", 200), ""), 0},
		{"a head that never ends", put(strings.Repeat("Abcdefgh: ijkl\r\n", 5000), ""), 0},
		{"a line that never ends", "GET /" + long, 0},
		{"blanks that never end", "GET" + strings.Repeat(" ", 70_000), 0},
		{"empty lines that never end", strings.Repeat("\r\n", 40_000), 0},
		{"a promise of 1 MiB and a byte", put("Content-Length: 1048577\r\n", ""), 0},
		{"a promise of 2^63-1", put("Content-Length: 9223372036854775807\r\n", ""), 0},
		{"a promise of 2^63", put("Content-Length: 9223372036854775808\r\n", ""), 0},
		{"a promise of 2^64", put("Content-Length: 18446744073709551616\r\n", ""), 0},
		{"a promise of forty digits", put("Content-Length: "+strings.Repeat("9", 40)+"\r\n", ""), 0},
		{"a body of 1 MiB and a byte", put("Content-Length: 1048577\r\n", strings.Repeat("x", 1<<20+1)), 0},
		{"chunks of 1 MiB and a byte", put("Transfer-Encoding: chunked\r\n", "100001\r\n"+strings.Repeat("x", 1<<20+1)+"\r\n0\r\n\r\n"), 0},
		{"a chunk of 2^63", put("Transfer-Encoding: chunked\r\n", "8000000000000000\r\nx\r\n0\r\n\r\n"), 0},
		{"a chunk of 2^64", put("Transfer-Encoding: chunked\r\n", "10000000000000000\r\nx\r\n0\r\n\r\n"), 0},
		{"a size of a thousand zeros", put("Transfer-Encoding: chunked\r\n", strings.Repeat("0", 1000)+"1\r\nx\r\n0\r\n\r\n"), 0},
		{"a chunk's extension of 70,000", put("Transfer-Encoding: chunked\r\n", "1;"+long+"\r\nx\r\n0\r\n\r\n"), 0},
		{"trailers of 70,000", put("Transfer-Encoding: chunked\r\n", "1\r\nx\r\n0\r\nA: "+long+"\r\n\r\n"), 0},
		{"a body of a deletion of 1 MiB", "DELETE /v2/keys/eventlogging/x HTTP/1.1\r\nHost: h\r\nContent-Length: 1000000\r\n\r\n" + strings.Repeat("x", 1_000_000), 0},
		{"an Authorization of 30,000", request("PUT", "/v2/keys/conftool/x", "Authorization: Basic "+long[:30_000]+"\r\n", "value=1"), 0},
		{"a Host of 30,000", "PUT /v2/keys/conftool/x HTTP/1.1\r\nHost: " + long[:30_000] + "\r\n\r\n", 0},
		{"a method of 30,000", request(long[:30_000], "/v2/keys/eventlogging/x", "", ""), 0},
		{"a version of 30,000", "GET /v2/keys/x HTTP/1." + strings.Repeat("1", 30_000) + "\r\nHost: h\r\n\r\n", 0},
	}
	return c
}

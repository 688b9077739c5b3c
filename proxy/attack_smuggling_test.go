package proxy_test

import (
	"fmt"
	"strings"
)

// hidden is a request that attacks hide in the body of another request, or behind it.
const hidden = "PUT " + smuggled + " HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n"

// envelope returns a request with the given framing fields and body. Its client has the
// right to make it, so only its framing can be the reason for a refusal.
func envelope(fields, body string) string {
	return "POST /v2/keys/eventlogging/envelope HTTP/1.1\r\nHost: h\r\n" + fields + "\r\n" + body
}

// inChunks is a body that ends before the hidden request if it is read as chunks.
const inChunks = "0\r\n\r\n" + hidden

func lengthAttacks() attacks {
	c := attacks{name: "lengths", source: "Linhart and others, HTTP gate.Request Smuggling (2005); CVE-2021-40346, CVE-2023-40225, CVE-2017-7658, CVE-2020-7238; RFC 9112 6.3"}
	n := len(hidden)
	c.list = each([]string{
		fmt.Sprintf("Content-Length: 0\r\nContent-Length: %d\r\n", n), fmt.Sprintf("Content-Length: %d\r\nContent-Length: 0\r\n", n), "Content-Length: 0\r\nContent-Length: 0\r\n", "Content-Length: 0, 0\r\n",
		fmt.Sprintf("Content-Length: 0, %d\r\n", n), fmt.Sprintf("Content-Length: %d, 0\r\n", n), fmt.Sprintf("content-length: 0\r\nContent-Length: %d\r\n", n), "Content-Length:\r\n", "Content-Length: \r\n", "Content-Length: -1\r\n", "Content-Length: +0\r\n",
		fmt.Sprintf("Content-Length: +%d\r\n", n), "Content-Length: 0x0\r\n", "Content-Length: 0.0\r\n", "Content-Length: 0e1\r\n", "Content-Length: 0 0\r\n", "Content-Length: 0;\r\n", "Content-Length: \"0\"\r\n", "Content-Length: 0\x00\r\n", "Content-Length: \x0b0\r\n",
		"Content-Length: 0\x0c\r\n", "Content-Length: \xa00\r\n", "Content-Length: \xef\xbc\x90\r\n", "Content-Length : 0\r\n", "Content-Length\t: 0\r\n", " Content-Length: 0\r\n", "Content-Length\x00: 0\r\n", "Content-Length: 0\r\n 1\r\n", "Content-Length:\r\n 0\r\n",
		"Content-Length: 0\n", "Content-Length: 0\r", "Content-Length: 1_0\r\n", "Content-Length: 1'000\r\n", "Content-Length: 0b1\r\n", "Content-Length: 0o7\r\n", "Content-Length: 99999999999999999999\r\n", "Content-Length: 4294967296\r\n",
		"Content-Length; 0\r\n", "Content-Length = 0\r\n", "Content-Length\r\n", ": 0\r\n", "Content_Length: 5\r\n", "Content.Length\x7f: 0\r\n", "Content-Length: 0, \r\n", "Content-Length: ,0\r\n",
	}, 0, func(fields string) string { return envelope(fields, hidden) })
	c.list = append(c.list,
		attack{"a length that covers the hidden request", envelope(fmt.Sprintf("Content-Length: %d\r\n", n), hidden), 1},
		attack{"a length with zeros before it", envelope(fmt.Sprintf("Content-Length: 000%d\r\n", n), hidden), 1},
		attack{"a body without a length", envelope("", "GET /v2/keys/eventlogging/x HTTP/1.1\nHost: h\n\n"), 1},
		attack{"a read with a body", fmt.Sprintf("GET /v2/keys/eventlogging/x HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n%s", n, hidden), 1},
		attack{"a HEAD with a body", fmt.Sprintf("HEAD /v2/keys/eventlogging/x HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n%s", n, hidden), 1},
		attack{"a deletion with a body", fmt.Sprintf("DELETE /v2/keys/eventlogging/x HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n%s", n, hidden), 1},
		attack{"a refused write with a body", fmt.Sprintf("PUT /v2/keys/conftool/x HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n%s", n, hidden), 0},
		attack{"a closed path with a body", fmt.Sprintf("PUT /v3/kv/put HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n%s", n, hidden), 0},
		attack{"a refused method with a body", fmt.Sprintf("PATCH /v2/keys/x HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n%s", n, hidden), 0},
		attack{"an expectation, refused, with a body", fmt.Sprintf("PUT /v2/keys/conftool/x HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: %d\r\n\r\n%s", n, hidden), 0},
		attack{"an expectation of HTTP/1.0, refused, with a body", fmt.Sprintf("PUT /v2/keys/conftool/x HTTP/1.0\r\nConnection: keep-alive\r\nExpect: 100-continue\r\nContent-Length: %d\r\n\r\n%s", n, hidden), 0},
		attack{"an unknown expectation", fmt.Sprintf("PUT /v2/keys/eventlogging/x HTTP/1.1\r\nHost: h\r\nExpect: 200-ok\r\nContent-Length: %d\r\n\r\n%s", n, hidden), 0},
		attack{"a length longer than the body", envelope("Content-Length: 5000\r\n", hidden), 0},
	)
	return c
}

func codingAttacks() attacks {
	c := attacks{name: "codings", source: "James Kettle, HTTP Desync Attacks (2019); CVE-2019-16276, CVE-2019-18277, CVE-2022-1705, CVE-2019-20444; RFC 9112 6.1"}
	all := []string{
		"Transfer-Encoding: chunked", "transfer-encoding: chunked", "Transfer-Encoding: Chunked", "Transfer-Encoding: CHUNKED", "Transfer-Encoding: chunked ", "Transfer-Encoding:chunked", "Transfer-Encoding: \tchunked", "Transfer-Encoding: xchunked", "Transfer-Encoding: chunkedx",
		"Transfer-Encoding: chunked, identity", "Transfer-Encoding: identity, chunked", "Transfer-Encoding: identity", "Transfer-Encoding: gzip, chunked", "Transfer-Encoding: chunked, chunked", "Transfer-Encoding: chunked;q=1", "Transfer-Encoding: \"chunked\"",
		"Transfer-Encoding: 'chunked'", "Transfer-Encoding: \x0bchunked", "Transfer-Encoding: \x0cchunked", "Transfer-Encoding: chunked\x00", "Transfer-Encoding: \x00chunked", "Transfer-Encoding: \xa0chunked", "Transfer-Encoding: \xffchunked", "Transfer-Encoding : chunked",
		"Transfer-Encoding\t: chunked", " Transfer-Encoding: chunked", "\tTransfer-Encoding: chunked", "X: y\r\n Transfer-Encoding: chunked", "Transfer-Encoding:\r\n chunked", "Transfer-Encoding: chunked\r\n x", "Transfer-Encoding\x00: chunked", "Transfer-Encoding\x0b: chunked",
		"X: y\nTransfer-Encoding: chunked", "X: y\rTransfer-Encoding: chunked", "X: y\r\r\nTransfer-Encoding: chunked", "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity",
		"Transfer-Encoding: identity\r\nTransfer-Encoding: chunked", "Transfer-Encoding: x\r\nTransfer-Encoding: chunked", "Transfer-Encoding:", "Transfer-Encoding: ,", "Transfer-Encoding: chunked,", "Transfer-Encoding: ,chunked", "Transfer_Encoding: chunked", "Transfer-Encoding\xc2\xa0: chunked",
		"Transfer\xad-Encoding: chunked", "Transfer-Encoding: chun\xc2\xadked", "Transfer-Encoding: chunk", "Transfer-Encoding: chunked\r\nContent-Encoding: chunked",
	}
	length := fmt.Sprintf("Content-Length: %d\r\n", len(inChunks))
	for _, te := range all {
		c.list = append(c.list,
			attack{fmt.Sprintf("a length and then %.40q", te), envelope(length+te+"\r\n", inChunks), 0},
			attack{fmt.Sprintf("%.40q and then a length", te), envelope(te+"\r\nContent-Length: 4\r\n", "5c\r\n"+hidden+"0\r\n\r\n"), 0},
		)
	}
	for _, te := range all[7:] {
		passes := 0
		if strings.HasSuffix(te, "Content-Encoding: chunked") {
			continue // it codes the value, which the proxy does not interpret
		}
		c.list = append(c.list, attack{fmt.Sprintf("%.40q alone", te), envelope(te+"\r\n", inChunks), passes})
	}
	c.list = append(c.list,
		attack{"chunks of HTTP/1.0", "POST /v2/keys/eventlogging/envelope HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n" + inChunks, 0},
		attack{"chunks of HTTP/1.0 that wants to go on", "POST /v2/keys/eventlogging/envelope HTTP/1.0\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n" + inChunks, 0},
		attack{"a nominated coding", envelope("Connection: Transfer-Encoding\r\nTransfer-Encoding: chunked\r\n", "1\r\nx\r\n0\r\n\r\n"), 1},
	)
	return c
}

func chunkAttacks() attacks {
	c := attacks{name: "chunks", source: "CVE-2023-39326, CVE-2025-22871, CVE-2017-7657; Jeppe Bonde Weikop, Funky chunks (2025); RFC 9112 7.1"}
	c.list = each([]string{
		"0x1\r\nx\r\n0\r\n\r\n", "+1\r\nx\r\n0\r\n\r\n", "-1\r\nx\r\n0\r\n\r\n", " 1\r\nx\r\n0\r\n\r\n", "1 \r\nx\r\n0\r\n\r\n", "1\t\r\nx\r\n0\r\n\r\n", "\r\n1\r\nx\r\n0\r\n\r\n", "\r\n\r\n", "g\r\nx\r\n0\r\n\r\n", "1g\r\nx\r\n0\r\n\r\n", "1_0\r\nx\r\n0\r\n\r\n",
		"1\nx\r\n0\r\n\r\n", "1\rx\r\n0\r\n\r\n", "1\r\nx\n0\r\n\r\n", "1\r\nx\r0\r\n\r\n", "1\r\nx0\r\n\r\n", "1\r\nxy\r\n0\r\n\r\n", "1\r\nx\r\n0\n\r\n", "1\r\nx\r\n0\r\n\n", "1\r\nx\r\n0\n\n", "1\r\nx\r\n\r\n", "1;a\nb\r\nx\r\n0\r\n\r\n", "1;\n\r\nx\r\n0\r\n\r\n",
		"1;a=\"\r\n\"\r\nx\r\n0\r\n\r\n", "1;a=\x00\r\nx\r\n0\r\n\r\n", "1\x00\r\nx\r\n0\r\n\r\n", "1,1\r\nx\r\n0\r\n\r\n", "fffffffffffffffff\r\nx\r\n0\r\n\r\n", "ffffffffffffffff\r\nx\r\n0\r\n\r\n", "7fffffffffffffff\r\nx\r\n0\r\n\r\n", "\xef\xbc\x91\r\nx\r\n0\r\n\r\n",
		"0\r\nX: y\r\n z\r\n\r\n", "0\r\nX: y\r\n\tz\r\n\r\n", "0\r\nContent-Length : 5\r\n\r\n", "0\r\nX: y\rz\r\n\r\n", "0\r\nX: y\r\n\n", "0\r\n X\r\n\r\n", "0\r\nX\r\n\r\n", "0\r\n: x\r\n\r\n", "0\r\nX: y\n\r\n", "0\r\nX: \x00\r\n\r\n",
		"5\r\nvalue\r\n", "5\r\nval", "5", "", "1\r\nx\r\n0\r\n", "1\r\nx\r\n0", "1;x\r\nx\r\n0;x\r\n\r\n", "1;a=b\r\nx\r\n0\r\n\r\n",
	}, 0, func(body string) string { return envelope("Transfer-Encoding: chunked\r\n", body+hidden) })
	for _, trailer := range []string{"Content-Length: 5", "Transfer-Encoding: chunked", "Host: evil", "Authorization: Basic x", "X: y", "Trailer: X", "Connection: close", "Content-Length: 5\r\nContent-Length: 6"} {
		c.list = append(c.list, attack{"the trailer " + trailer, envelope("Transfer-Encoding: chunked\r\n", "1\r\nx\r\n0\r\n"+trailer+"\r\n\r\n"), 1})
	}
	c.list = append(c.list,
		attack{"good chunks, and the hidden request in one", envelope("Transfer-Encoding: chunked\r\n", fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", len(hidden), hidden)), 1},
		attack{"good chunks in capitals", envelope("Transfer-Encoding: chunked\r\n", "A\r\n0123456789\r\n0\r\n\r\n"), 1},
		attack{"a size with zeros before it, and a NUL behind the message", envelope("Transfer-Encoding: chunked\r\n", "00000001\r\nx\r\n0\r\n\r\n\r\n\r\n\x00"+hidden), 1},
		attack{"a refused write in chunks", "PUT /v2/keys/conftool/x HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n" + fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", len(hidden), hidden), 0},
		attack{"a refused write in bad chunks", "PUT /v2/keys/conftool/x HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n0x0\r\n\r\n" + hidden, 0},
		attack{"a refused write whose chunks end in a trailer", "PUT /v2/keys/conftool/x HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX: y\r\n\r\n", 0},
		attack{"a trailer that is announced and does not come", envelope("Trailer: X\r\nContent-Length: 1\r\n", "x"), 1},
		attack{"a trailer that a request is hidden in", envelope("Transfer-Encoding: chunked\r\n", "0\r\nX: PUT "+smuggled+" HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n"), 1},
		attack{"a password in a trailer", "PUT /v2/keys/conftool/x HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nTrailer: Authorization\r\n\r\n0\r\nAuthorization: Basic cm9vdDpyb290LXB3\r\n\r\n", 0},
		attack{"a read in chunks", "GET /v2/keys/eventlogging/x HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 1},
	)
	return c
}

func headAttacks() attacks {
	c := attacks{name: "heads", source: "CVE-2023-25725, CVE-2019-16276, CVE-2013-4547; James Kettle, HTTP/1.1 must die (2025); RFC 9112 2.2, 3, 5"}
	const line = "PUT /v2/keys/eventlogging/x HTTP/1.1\r\n"
	c.list = each([]string{
		line + "Host: h\n\r\n", line + "Host: h\n\n", line + "Host: h\r\n\n", "PUT /v2/keys/eventlogging/x HTTP/1.1\nHost: h\n\n", "PUT /v2/keys/eventlogging/x HTTP/1.1\rHost: h\r\r", line + "Host: h\r\r\n\r\n", line + "Host: h\r\n\r\r\n", line + "\r\n", line + "Host: h\r\nHost: h\r\n\r\n",
		line + "Host: h\r\nhost: evil\r\n\r\n", line + "Host: a b\r\n\r\n", line + "Host: h/x\r\n\r\n", line + "Host: \r\n\r\n", line + "Host: h@evil\r\n\r\n", line + "Host: h, evil\r\n\r\n", line + "Host: \x00\r\n\r\n", line + "Host: h\x00\r\n\r\n", line + "Host : h\r\n\r\n", line + " Host: h\r\n\r\n",
		line + "Host: h\r\n: x\r\n\r\n", line + "Host: h\r\nX\r\n\r\n", line + "Host: h\r\nX Y: z\r\n\r\n", line + "Host: h\r\nX\x00: y\r\n\r\n", line + "Host: h\r\nX: y\x00\r\n\r\n", line + "Host: h\r\nX: y\rz\r\n\r\n", line + "Host: h\r\nX: y\x01\r\n\r\n", line + "Host: h\r\nX: y\x7f\r\n\r\n",
		line + "Host: h\r\n X: y\r\n\r\n", line + "Host: h\r\nX: y\r\n\tz\r\n\r\n", line + "Host: h\r\nX\xff: y\r\n\r\n", line + "Host: h\r\n(X): y\r\n\r\n", line + "Host: h\r\nX:y\nY: z\r\n\r\n", line + "Host: h\r\n\x00\r\n\r\n", line + "Host: h\r\n" + hidden,
		"PUT  /v2/keys/eventlogging/x HTTP/1.1\r\nHost: h\r\n\r\n", "PUT /v2/keys/eventlogging/x  HTTP/1.1\r\nHost: h\r\n\r\n", "PUT\t/v2/keys/eventlogging/x HTTP/1.1\r\nHost: h\r\n\r\n", "PUT /v2/keys/eventlogging/x\tHTTP/1.1\r\nHost: h\r\n\r\n",
		"PUT /v2/keys/eventlogging/x HTTP/1.1 \r\nHost: h\r\n\r\n", " PUT /v2/keys/eventlogging/x HTTP/1.1\r\nHost: h\r\n\r\n", "PUT /v2/keys/eventlogging/x HTTP/1.2\r\nHost: h\r\n\r\n", "PUT /v2/keys/eventlogging/x HTTP/2.0\r\nHost: h\r\n\r\n",
		"PUT /v2/keys/eventlogging/x HTTP/0.9\r\nHost: h\r\n\r\n", "PUT /v2/keys/eventlogging/x HTTP/1.10\r\nHost: h\r\n\r\n", "PUT /v2/keys/eventlogging/x HTTP/01.1\r\nHost: h\r\n\r\n", "PUT /v2/keys/eventlogging/x http/1.1\r\nHost: h\r\n\r\n",
		"PUT /v2/keys/eventlogging/x HTTP/1.1x\r\nHost: h\r\n\r\n", "PUT /v2/keys/eventlogging/x HTTP/1\r\nHost: h\r\n\r\n", "PUT /v2/keys/eventlogging/x HTTP/1,1\r\nHost: h\r\n\r\n", "PUT /v2/keys/eventlogging/x\r\n", "PUT /v2/keys/eventlogging/x\r\nHost: h\r\n\r\n", "PUT\r\n\r\n", "\x00" + line + "Host: h\r\n\r\n",
		"PUT /v2/keys/eventlogging/a b HTTP/1.1\r\nHost: h\r\n\r\n", line + "Host: h\r\nContent_Length: 5\r\n\r\n", line + "Host: h\r\nContent_Type: x\r\n\r\n", line + "Host: h\r\nTransfer_Encoding: x\r\n\r\n",
		line + "Host: h\\evil\r\n\r\n", "PUT evil:/v2/keys/eventlogging/x HTTP/1.1\r\nHost: h\r\n\r\n", "PUT //evil@h/v2/keys HTTP/1.1\r\nHost: h\r\n\r\n", "PUT http:/v2/keys/eventlogging/x HTTP/1.1\r\nHost: h\r\n\r\n",
		"PUT ftp://h/v2/keys/eventlogging/x HTTP/1.1\r\nHost: h\r\n\r\n", "PUT http://h?/v2/keys/eventlogging/x HTTP/1.1\r\nHost: h\r\n\r\n", "PUT http://h#/v2/keys/eventlogging/x HTTP/1.1\r\nHost: h\r\n\r\n", "PUT * HTTP/1.1\r\nHost: h\r\n\r\n", "PUT ? HTTP/1.1\r\nHost: h\r\n\r\n",
	}, 0, func(text string) string { return text })
	// Only the bytes of a host are checked: no decision depends on it, and it is not forwarded.
	c.list = append(c.list, each([]string{"[::1", "h:80:80", "127.0.0.1:2379", "evil.example"}, 1, func(host string) string { return line + "Host: " + host + "\r\n\r\n" })...)
	return c
}

func pipelineAttacks() attacks {
	c := attacks{name: "behind another request", source: "Linhart and others (2005); James Kettle, Browser-Powered Desync Attacks (2022); RFC 9112 9.3.2"}
	const good = "GET /v2/keys/eventlogging/x HTTP/1.1\r\nHost: h\r\n\r\n"
	evil := request("PUT", "/v2/keys/conftool/x", "", "value=attack")
	refused := request("DELETE", "/v2/keys/?recursive=true", "", "")
	c.list = []attack{
		{"a write without a right behind a read", good + evil, 1},
		{"behind a refusal", refused + evil, 0},
		{"behind twenty refusals", strings.Repeat(refused, 20) + evil, 0},
		{"behind somebody's password", request("PUT", "/v2/keys/conftool/x", by("conftool"), "value=1") + request("PUT", "/v2/keys/secret", "", "value=1"), 1},
		{"anonymous behind somebody's password", request("GET", "/v2/keys/conftool/x", by("conftool"), "") + evil, 1},
		{"behind an announced end", "GET /v2/keys/eventlogging/x HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n" + hidden, 1},
		{"behind HTTP/1.0", "GET /v2/keys/eventlogging/x HTTP/1.0\r\n\r\n" + hidden, 1},
		{"behind a malformed one", "GET /v2/keys/eventlogging/x HTTP/1.1\nHost: h\n\n" + hidden, 0},
		{"behind two Authorizations", request("GET", "/v2/keys/x", by("root")+by("root"), "") + hidden, 0},
		{"behind a body that is too large", envelope("Content-Length: 9999999\r\n", hidden), 0},
		{"behind an upgrade", request("GET", "/v2/keys/x", "Connection: upgrade\r\nUpgrade: h2c\r\n", "") + evil, 1},
		{"behind an upgrade with a body", request("PUT", "/v2/keys/eventlogging/x", "Connection: upgrade\r\nUpgrade: h2c\r\n", hidden) + evil, 0},
		{"the preface of HTTP/2 behind an upgrade", request("GET", "/v2/keys/x", "Connection: upgrade\r\nUpgrade: h2c\r\n", "") + "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 0},
		{"behind the body of an expectation that is not met", "PUT /v2/keys/conftool/x HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 7\r\n\r\nvalue=1" + evil, 0},
		{"behind CONNECT", "CONNECT h:1 HTTP/1.1\r\nHost: h\r\n\r\n" + evil, 0},
		{"behind a HEAD", "HEAD /v2/keys/eventlogging/x HTTP/1.1\r\nHost: h\r\n\r\n" + evil, 1},
		{"behind an expectation that is not met", "PUT /v2/keys/conftool/x HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n" + hidden, 0},
		{"a line feed before it", good + "\n" + evil, 1},
		{"an empty line before it", good + "\r\n" + evil, 1},
		{"ten empty lines before it", good + strings.Repeat("\r\n", 10) + evil, 1},
		{"in a read's body", request("GET", "/v2/keys/eventlogging/x", "", hidden), 1},
		{"split over a second head", "GET /v2/keys/eventlogging/x HTTP/1.1\r\nHost: h\r\nX: " + hidden, 0},
		{"fifty writes of everyone", strings.Repeat(request("PUT", "/v2/keys/eventlogging/many", "", "value=1"), 50), 50},
		{"fifty writes, alternately refused", strings.Repeat(request("PUT", "/v2/keys/eventlogging/many", "", "value=1")+evil, 25), 25},
	}
	return c
}

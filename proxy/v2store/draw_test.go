package v2store_test

import (
	"fmt"
	"math/rand/v2"
	"net/url"

	"pgregory.net/rapid"

	"etcd-tlsproxy/proxy/v2store"
)

// seeds are unbiased. The integers of rapid are mostly small, so that choices by them would
// reach the rarer rules too seldom. Shrinking removes steps, and each step keeps its seed.
var seeds = rapid.Custom(func(t *rapid.T) uint64 {
	seed := uint64(0)
	for range 24 {
		seed <<= 1
		if rapid.Bool().Draw(t, "bit") {
			seed |= 1
		}
	}
	return seed
})

// before2000 is a ttl that overflows to -30 years, so that the expiry is before the year 2000.
const before2000 = "18446744072763471616"

// choices are the random choices of one step.
type choices struct{ *rand.Rand }

func newChoices(seed uint64) choices { return choices{rand.New(rand.NewPCG(seed, 1))} }

// once reports true once in n times.
func (c choices) once(n int) bool { return c.IntN(n) == 0 }

func (c choices) of(list ...string) string { return list[c.IntN(len(list))] }

// key draws from few keys, so that operations meet.
func (c choices) key() string {
	if c.once(25) {
		return ""
	}
	return c.of("/a", "/a/b", "/a/b/c", "/a/_h", "/a/_h/x", "/ab", "/_h", "/a/b/c/d/e", "/d", "/d/e", "/d/f/g", "/f", "/f/g")
}

// request draws a request about a tree. Most parameters are absent, so that most requests
// succeed.
func (c choices) request(t *v2store.Tree) *v2store.Request {
	q := &v2store.Request{Path: c.key(), Method: c.of("PUT", "PUT", "PUT", "PUT", "PUT", "POST", "DELETE", "DELETE", "GET")}
	values := url.Values{}
	set := func(name string, odds int, list ...string) {
		if c.once(odds) {
			values.Set(name, c.of(list...))
		}
	}
	set("value", 2, "v", "v", "w", "<&>\u2028", "")
	set("dir", 4, "true", "1", "T", "true", "1", "TRUE", "False", "false")
	set("recursive", 4, "true", "t", "true", "0")
	set("prevExist", 4, "true", "true", "true", "false", "false")
	set("prevValue", 9, "v", "v", "v", "v", "w", "w", "v", "")
	set("ttl", 4, "1", "1", "2", "2", "3", "9", "0", "", "18446744073709551615", "9223372036854775807", before2000)
	set("noValueOnSuccess", 9, "true", "false")
	set("quorum", 9, "true", "false")
	if c.once(7) {
		values.Set("prevIndex", fmt.Sprint(t.Index()-min(t.Index(), c.Uint64N(4))))
	}
	if e, _ := t.Get(&v2store.Operation{Key: q.Path}, epoch); e != nil && c.once(9) {
		values.Set("prevIndex", fmt.Sprint(e.Node.ModifiedIndex))
	}
	if c.once(9) {
		values.Del("value")
		values.Set("ttl", c.of("2", "5"))
		values.Set("refresh", c.of("true", "1", "true", "false"))
		if c.once(20) {
			values.Del("ttl")
		}
	}
	if q.Method == "DELETE" && c.once(4) {
		values = url.Values{"dir": {"true"}}
	}
	if c.once(15) {
		c.spoil(values)
	}
	c.place(q, values)
	return q
}

// spoil makes a form that etcd refuses, or that it barely accepts.
func (c choices) spoil(values url.Values) {
	for range 1 + c.IntN(2) {
		name := c.of("dir", "recursive", "prevExist", "prevValue", "prevIndex", "waitIndex", "wait", "ttl", "refresh",
			"noValueOnSuccess", "quorum", "sorted", "stream", "value")
		values.Set(name, c.of("", "?", "yes", "-1", "1.5", "true", "tRue", "18446744073709551616", "0"))
		if values.Get("wait") == "true" {
			values.Set("wait", "?") // a watch has no answer to compare
		}
	}
}

// place puts the parameters into the query, into the body, or into both.
func (c choices) place(q *v2store.Request, values url.Values) {
	where := c.IntN(20)
	if where < 10 {
		q.Query = values.Encode()
	} else {
		q.Body, q.ContentType = values.Encode(), "application/x-www-form-urlencoded"
	}
	switch where {
	case 9:
		q.Query += c.of("&a=%zz", "&a;b", "&ttl=5&ttl=x", "&dir=0&dir=1&value=1&value=2")
	case 18:
		q.ContentType = c.of("Application/X-WWW-Form-Urlencoded; charset=utf-8", "text/plain", "", ";",
			"application/x-www-form-urlencoded; a=b; a=c", "application/x-www-form-urlencoded; a", "multipart/form-data")
	case 19:
		q.Query = "value=other&dir=false&ttl=7&prevValue=v"
		q.Body += c.of("", "&%zz", "&x;y")
	}
}

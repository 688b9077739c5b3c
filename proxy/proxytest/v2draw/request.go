package v2draw

import (
	"fmt"
	"net/url"

	"etcd-tlsproxy/proxy/v2store"
)

// before2000 is a ttl that overflows to -30 years, so that the expiry is before the year 2000.
const before2000 = "18446744072763471616"

// Life says how long nodes live.
type Life struct {
	// TTL is for new nodes, Refresh for those that are refreshed, and Other for odd forms.
	TTL, Refresh []string
	Other        string
	// Now allows a ttl of 0.
	Now bool
}

var (
	// AnyLife has times that are over soon, and some that overflow.
	AnyLife = Life{[]string{"1", "1", "2", "2", "3", "9", "0", "", "18446744073709551615", "9223372036854775807", before2000},
		[]string{"2", "5"}, "7", true}
	// LongLife has no times that end during a test.
	LongLife = Life{[]string{"10000", "20000", "30000", ""}, []string{"20000", "50000"}, "70000", false}
)

// Tree is what requests are drawn for.
type Tree interface {
	// Index returns the index of the last change.
	Index() uint64
	// Modified returns the modifiedIndex of a node, or 0 if there is none.
	Modified(key string) uint64
}

// Request draws a request. Most parameters are absent, so that most requests succeed.
func (c Choices) Request(t Tree, life Life) *v2store.Request {
	q := &v2store.Request{Path: c.Key(), Method: c.Of("PUT", "PUT", "PUT", "PUT", "PUT", "POST", "DELETE", "DELETE", "GET")}
	values := url.Values{}
	set := func(name string, odds int, list ...string) {
		if c.Once(odds) {
			values.Set(name, c.Of(list...))
		}
	}
	set("value", 2, "v", "v", "w", "<&>\u2028", "")
	set("dir", 4, "true", "1", "T", "true", "1", "TRUE", "False", "false")
	set("recursive", 4, "true", "t", "true", "0")
	set("prevExist", 4, "true", "true", "true", "false", "false")
	set("prevValue", 9, "v", "v", "v", "v", "w", "w", "v", "")
	set("ttl", 4, life.TTL...)
	set("noValueOnSuccess", 9, "true", "false")
	set("quorum", 9, "true", "false")
	if c.Once(7) {
		values.Set("prevIndex", fmt.Sprint(t.Index()-min(t.Index(), c.Uint64N(4))))
	}
	if modified := t.Modified(q.Path); modified > 0 && c.Once(9) {
		values.Set("prevIndex", fmt.Sprint(modified))
	}
	if c.Once(9) {
		values.Del("value")
		values.Set("ttl", c.Of(life.Refresh...))
		values.Set("refresh", c.Of("true", "1", "true", "false"))
		if c.Once(20) {
			values.Del("ttl")
		}
	}
	if q.Method == "DELETE" && c.Once(4) {
		values = url.Values{"dir": {"true"}}
	}
	if c.Once(15) {
		c.spoil(values, life)
	}
	c.place(q, values, life)
	return q
}

// spoil makes a form that etcd refuses, or that it barely accepts.
func (c Choices) spoil(values url.Values, life Life) {
	for range 1 + c.IntN(2) {
		name := c.Of("dir", "recursive", "prevExist", "prevValue", "prevIndex", "waitIndex", "wait", "ttl", "refresh",
			"noValueOnSuccess", "quorum", "sorted", "stream", "value")
		values.Set(name, c.Of("", "?", "yes", "-1", "1.5", "true", "tRue", "18446744073709551616", "0"))
		if values.Get("wait") == "true" {
			values.Set("wait", "?") // a watch has no answer to compare
		}
		if values.Get("ttl") == "0" && !life.Now {
			values.Set("ttl", "?")
		}
	}
}

// place puts the parameters into the query, into the body, or into both.
func (c Choices) place(q *v2store.Request, values url.Values, life Life) {
	where := c.IntN(20)
	if where < 10 {
		q.Query = values.Encode()
	} else {
		q.Body, q.ContentType = values.Encode(), "application/x-www-form-urlencoded"
	}
	switch where {
	case 9:
		q.Query += c.Of("&a=%zz", "&a;b", "&ttl="+life.Other+"&ttl=x", "&dir=0&dir=1&value=1&value=2")
	case 18:
		q.ContentType = c.Of("Application/X-WWW-Form-Urlencoded; charset=utf-8", "text/plain", "", ";",
			"application/x-www-form-urlencoded; a=b; a=c", "application/x-www-form-urlencoded; a", "multipart/form-data")
	case 19:
		q.Query = "value=other&dir=false&ttl=" + life.Other + "&prevValue=v"
		q.Body += c.Of("", "&%zz", "&x;y")
	}
}

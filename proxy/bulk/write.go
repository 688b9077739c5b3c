package bulk

import "etcd-tlsproxy/proxy/account"

// etcd answers a write with the value before and the one after. A write of a few bytes can thus
// have an answer of many megabytes, and a client can repeat it without sending the value again:
// it extends the life of the key, or compares the value with another one. So a write is
// charged before etcd receives it, like a read of the same key. The size of the value is
// known from what was sent.

// Write returns the claim of a write of a key.
func (l *Limits) Write(a *account.Account, path string, body []byte) Claim {
	if l == nil {
		return Claim{}
	}
	c := Claim{limits: l, bytes: l.Bytes, account: a, hash: l.sizes.hashOf(path, false), write: true}
	if len(body) > Unit/longest {
		c.sent = (encoded(body) + Unit - 1) / Unit
	}
	c.Refresh()
	if c.sent > 1 && c.limits.sizes.units(c.hash) < c.sent {
		// Others can ask for the value before this write is answered.
		c.limits.sizes.note(c.hash, c.sent)
	}
	return c
}

// wrote remembers the size of a value that was written or, if the write failed, of the one that
// remains. An answer shows only that a value is large: the client chooses whether it
// contains the values.
func (c *Claim) wrote(units int64) {
	if value := max(c.sent, (units+1)/2); value > 1 && value > c.limits.sizes.units(c.hash) {
		c.limits.sizes.note(c.hash, value)
	}
}

// longest is how many bytes JSON needs for one byte of a value: \u003c.
const longest = 6

// encoded returns the most bytes that the JSON of a form needs. One byte of the form is one
// of the value, or a third of one.
func encoded(form []byte) (n int64) {
	for _, b := range form {
		switch {
		case b == '%':
			n += longest - 2 // the two digits behind it count as well
		case b < ' ', b == '<', b == '>', b == '&', b > '~':
			n += longest
		case b == '"', b == '\\':
			n += 2
		default:
			n++
		}
	}
	return n
}

package v2store

import (
	"mime"
	"net/url"
	"strconv"
	"time"
)

// form is the form of a request: the values of the body, followed by those of the query.
type form url.Values

// parseForm follows [net/http.Request.ParseForm], which etcd uses. The caller bounds the body.
func parseForm(r *Request) (form, error) {
	f := form{}
	var bodyErr error
	if r.Method == "PUT" || r.Method == "POST" {
		// An empty content type counts as application/octet-stream, and has no form.
		if r.ContentType != "" {
			var kind string
			kind, _, bodyErr = mime.ParseMediaType(r.ContentType)
			if kind == "application/x-www-form-urlencoded" {
				err := f.add(r.Body)
				if bodyErr == nil {
					bodyErr = err
				}
			}
		}
	}
	queryErr := f.add(r.Query)
	if bodyErr != nil {
		return nil, bodyErr
	}
	return f, queryErr
}

func (f form) add(encoded string) error {
	values, err := url.ParseQuery(encoded)
	for name, list := range values {
		f[name] = append(f[name], list...)
	}
	return err
}

func (f form) has(name string) bool { return len(f[name]) > 0 }

// first returns the first value of a field, or "".
func (f form) first(name string) string {
	if !f.has(name) {
		return ""
	}
	return f[name][0]
}

func (f form) number(name string) (uint64, *Error) {
	if !f.has(name) {
		return 0, nil
	}
	n, err := strconv.ParseUint(f.first(name), 10, 64)
	if err != nil {
		return 0, newError(CodeIndexNaN, `invalid value for "`+name+`"`, 0)
	}
	return n, nil
}

// flags reads boolean fields in the given order, and reports the first one that is not valid.
func (f form) flags(fields ...flag) *Error {
	for _, field := range fields {
		if !f.has(field.name) {
			continue
		}
		value, err := strconv.ParseBool(f.first(field.name))
		if err != nil {
			return newError(CodeInvalidField, `invalid value for "`+field.name+`"`, 0)
		}
		*field.to = value
	}
	return nil
}

type flag struct {
	name string
	to   *bool
}

// optional reads a boolean field whose absence has a meaning of its own. Etcd does not quote the
// names of these fields in its errors.
func (f form) optional(name string) (value, set bool, err *Error) {
	if !f.has(name) {
		return false, false, nil
	}
	value, parseErr := strconv.ParseBool(f.first(name))
	if parseErr != nil {
		return false, false, newError(CodeInvalidField, "invalid value for "+name, 0)
	}
	return value, true, nil
}

// expires returns the time at which the node expires. A ttl that is too large overflows, as in etcd.
func (f form) expires(now time.Time) (int64, *Error) {
	text := f.first("ttl")
	if text == "" {
		return 0, nil
	}
	seconds, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		return 0, newError(CodeTTLNaN, `invalid value for "ttl"`, 0)
	}
	return now.Add(time.Duration(seconds) * time.Second).UnixNano(), nil
}

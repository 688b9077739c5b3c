package v2store

import (
	"path"
	"time"
)

// Request is what the semantics need of an HTTP request.
type Request struct {
	Method string
	// Path is the decoded path below /v2/keys.
	Path string
	// Query is the encoded query, without the question mark.
	Query       string
	ContentType string
	Body        string
}

// Parse returns the operation of a request that arrives at the given time. The checks have
// etcd's order. The caller bounds the sizes of the fields.
func Parse(r *Request, now time.Time) (*Operation, *Error) {
	f, formErr := parseForm(r)
	if formErr != nil {
		return nil, newError(CodeInvalidForm, formErr.Error(), 0)
	}
	o := &Operation{Key: cleanKey(r.Path)}
	var err *Error
	if o.PrevIndex, err = f.number("prevIndex"); err != nil {
		return nil, err
	}
	if o.Since, err = f.number("waitIndex"); err != nil {
		return nil, err
	}
	var sorted, wait bool
	err = f.flags(flag{"recursive", &o.Recursive}, flag{"sorted", &sorted}, flag{"wait", &wait},
		flag{"dir", &o.Dir}, flag{"quorum", &o.Quorum}, flag{"stream", &o.Stream})
	if err != nil {
		return nil, err
	}
	if wait && r.Method != "GET" {
		return nil, newError(CodeInvalidField, `"wait" can only be used with GET requests`, 0)
	}
	o.PrevValue = f.first("prevValue")
	if f.has("prevValue") && o.PrevValue == "" {
		return nil, newError(CodePrevValueRequired, `"prevValue" cannot be empty`, 0)
	}
	if err = f.flags(flag{"noValueOnSuccess", &o.NoValueOnSuccess}); err != nil {
		return nil, err
	}
	if o.Expires, err = f.expires(now); err != nil {
		return nil, err
	}
	exist, existSet, err := f.optional("prevExist")
	if err != nil {
		return nil, err
	}
	if o.Refresh, _, err = f.optional("refresh"); err != nil {
		return nil, err
	}
	o.Value = f.first("value")
	if o.Refresh && o.Value != "" {
		return nil, newError(CodeRefreshValue, "A value was provided on a refresh", 0)
	}
	if o.Refresh && f.first("ttl") == "" {
		return nil, newError(CodeRefreshTTLRequired, "No TTL value set", 0)
	}
	if err = o.dispatch(r.Method, wait, existSet, exist); err != nil {
		return nil, err
	}
	return o, nil
}

// dispatch chooses the action.
func (o *Operation) dispatch(method string, wait, existSet, exist bool) *Error {
	// Only GET has quorum reads: etcd answers HEAD from its own store.
	o.Quorum = o.Quorum && method == "GET"
	switch method {
	case "GET":
		o.Action = Get
		if wait && !o.Quorum {
			o.Action = Watch
		}
	case "HEAD":
		o.Action = Get
	case "POST":
		o.Action, o.InOrder = Create, true
	case "DELETE":
		o.Action = Delete
		if o.conditional() {
			o.Action = CompareAndDelete
		}
	case "PUT":
		o.dispatchPut(existSet, exist)
	default:
		return newError(CodeRaftInternal, "etcdserver: unknown method", 0)
	}
	return nil
}

func (o *Operation) dispatchPut(existSet, exist bool) {
	switch {
	case existSet && !exist:
		o.Action = Create
	case o.conditional():
		o.Action = CompareAndSwap
	case existSet:
		o.Action = Update
	default:
		o.Action = Set
	}
}

// cleanKey returns the key of a path. Unlike some builds of etcd, it never leaves the root.
func cleanKey(p string) string {
	key := path.Join("/", p)
	if key == "/" {
		return ""
	}
	return key
}

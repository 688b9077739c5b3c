package v2state

import (
	"fmt"
	"path"
	"strconv"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"etcd-tlsproxy/proxy/v2store"
)

// applier applies the entries of a log to a store, in the way of etcd.
type applier struct {
	tree        *v2store.Tree
	updatesDirs bool
}

func (a *applier) apply(e entry) error {
	switch {
	case e.v2 != nil && e.v2.Method == "SYNC":
		return a.expire(time.Unix(0, e.v2.Time))
	case e.v2 != nil:
		return a.request(e.v2)
	case e.change != nil:
		return a.change(e.change)
	case e.version != nil:
		return a.set(versionKey, e.version.Ver)
	case e.member != nil:
		return a.setAttributes(strconv.FormatUint(e.member.Member_ID, 16), "{}")
	}
	return nil
}

// expire removes what has expired at a time.
func (a *applier) expire(now time.Time) error {
	for {
		c := v2store.PlanExpire(a.tree, now, nil)
		if c == nil {
			return nil
		}
		if _, err := a.tree.Apply(c, a.tree.Index()+1); err != nil {
			return err
		}
	}
}

// request applies a write of the v2 API. Etcd records by the same API what members say about themselves.
func (a *applier) request(r *pb.Request) error {
	o := operation(r)
	if o == nil {
		return nil
	}
	if o.Action == v2store.Set {
		if member, found := attributesOf(o.Key); found {
			return a.setAttributes(member, o.Value)
		}
	}
	return a.write(o)
}

// operation returns the operation of a request, or nil for one that changes nothing.
func operation(r *pb.Request) *v2store.Operation {
	o := &v2store.Operation{Key: path.Clean("/" + r.Path), Value: r.Val, Dir: r.Dir, Recursive: r.Recursive,
		PrevValue: r.PrevValue, PrevIndex: r.PrevIndex, Refresh: r.Refresh != nil && *r.Refresh, Expires: r.Expiration}
	conditional := r.PrevIndex > 0 || r.PrevValue != ""
	switch r.Method {
	case "POST":
		o.Action, o.InOrder = v2store.Create, true
	case "PUT":
		switch {
		case r.PrevExist != nil && !*r.PrevExist:
			o.Action = v2store.Create
		case conditional:
			o.Action = v2store.CompareAndSwap
		case r.PrevExist != nil:
			o.Action = v2store.Update
		default:
			o.Action = v2store.Set
		}
	case "DELETE":
		o.Action = v2store.Delete
		if conditional {
			o.Action = v2store.CompareAndDelete
		}
	default:
		return nil
	}
	return o
}

// write executes a write. One that etcd has refused changes nothing here either.
func (a *applier) write(o *v2store.Operation) error {
	if a.refuses(o) {
		return nil
	}
	c, refused := v2store.Plan(o, a.tree, time.Unix(0, 0)) // the time is only that of an event
	if refused != nil {
		return nil
	}
	if _, err := a.tree.Apply(c, a.tree.Index()+1); err != nil {
		return fmt.Errorf("executing %s of %q: %w", o.Action, o.Key, err)
	}
	return nil
}

// refuses reports whether etcd refuses a write that package v2store would plan: one to the root of a part of
// the store, or an update of a directory.
func (a *applier) refuses(o *v2store.Operation) bool {
	switch o.Key {
	case "/":
		return true
	case members0, Keys:
		return !o.InOrder
	}
	return o.Action == v2store.Update && !a.updatesDirs && a.tree.Holds(v2store.Fact{Kind: v2store.DirExists, Key: o.Key})
}

func (a *applier) set(key, value string) error {
	return a.write(&v2store.Operation{Action: v2store.Set, Key: key, Value: value})
}

package lane

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"etcd-tlsproxy/proxy/account"
	"etcd-tlsproxy/proxy/gate"
	"etcd-tlsproxy/proxy/http1"
	"etcd-tlsproxy/proxy/share"
	"etcd-tlsproxy/proxy/v2store"
	"etcd-tlsproxy/proxy/v2v3"
	"etcd-tlsproxy/proxy/v2v3/stats"
	"etcd-tlsproxy/proxy/v2v3/turn"
)

// stored is what an answer of a store has beside its body.
type stored struct {
	fields [6]http1.Field
	text   []byte // of the fields
	lease  account.Lease
	large  *v2store.Large // renders the body while the client takes it; nil if the answer is whole
}

var storedPool = sync.Pool{New: func() any { return &stored{} }}

// free releases what the answer holds.
func (s *stored) free() {
	s.lease.Close()
	*s = stored{text: s.text[:0]}
	storedPool.Put(s)
}

// answer makes a the answer of a store.
func (o *Origin) answer(a *Answer, method string, got v2store.Answer) {
	a.stored = storedPool.Get().(*stored)
	a.Status, a.Length, a.Body, a.Whole = got.Status, int64(len(got.Body)), got.Body, true
	a.Fields = o.heads.fields(a.stored.fields[:0], &a.stored.text, &got, o.Store.Cluster())
	if got.Large != nil {
		a.Length = -1
		a.stored.large, a.Whole = got.Large, method == gate.MethodHead
	}
	if method == gate.MethodHead {
		a.Body = nil
	}
}

// bodySize returns the most bytes of a body that are sent.
func (a *Answer) bodySize() int64 {
	if a.Whole {
		return int64(len(a.Body))
	}
	return int64(a.stored.large.Size())
}

// heads makes the heads of answers like those of etcd.
type heads struct {
	date atomic.Pointer[date]
	last atomic.Pointer[watchHead]
}

// date is the text of a second.
type date struct {
	second int64
	text   string
}

// now returns the value of the Date field. Formatting it takes longer than the rest of a head.
func (h *heads) now() string {
	now := time.Now()
	d := h.date.Load()
	if d == nil || d.second != now.Unix() {
		d = &date{now.Unix(), now.UTC().Format(http.TimeFormat)}
		h.date.Store(d)
	}
	return d.text
}

// fields appends the fields of a head in the order of etcd. Their values are in text, which is
// replaced.
func (h *heads) fields(fields []http1.Field, text *[]byte, a *v2store.Answer, c v2store.Cluster) []http1.Field {
	t := strconv.AppendUint((*text)[:0], c.ID, 16)
	id := len(t)
	t = strconv.AppendUint(t, a.Index, 10)
	index := len(t)
	t = strconv.AppendUint(t, c.RaftIndex, 10)
	raft := len(t)
	t = strconv.AppendUint(t, c.RaftTerm, 10)
	*text = t
	s := string(t)
	fields = append(fields, http1.Field{Name: "Content-Type", Value: "application/json"},
		http1.Field{Name: "X-Etcd-Cluster-Id", Value: s[:id]}, http1.Field{Name: "X-Etcd-Index", Value: s[id:index]})
	if !a.Failed {
		fields = append(fields, http1.Field{Name: "X-Raft-Index", Value: s[index:raft]}, http1.Field{Name: "X-Raft-Term", Value: s[raft:]})
	}
	return append(fields, http1.Field{Name: "Date", Value: h.now()})
}

// complete returns the head and the body of an answer to a watch that does not wait.
func (h *heads) complete(a v2store.Answer, c v2store.Cluster) *share.Head {
	var text []byte
	return &share.Head{Status: a.Status, Index: a.Index, Body: a.Body, Fields: h.fields(nil, &text, &a, c)}
}

// watchHead is the head of watches, and what it was made of.
type watchHead struct {
	share.Head
	cluster v2store.Cluster
	date    string
}

// watch returns the head of a watch. Thousands of watches start at the same index when their
// clients have received an event, so the last head is kept.
func (h *heads) watch(a v2store.Answer, c v2store.Cluster) *share.Head {
	last := h.last.Load()
	if last == nil || last.Index != a.Index || last.cluster != c || last.date != h.now() {
		last = &watchHead{*h.complete(a, c), c, h.now()}
		h.last.Store(last)
	}
	return &last.Head
}

// fromMembers is Do for what the store answers beside the keys.
func (x *Exchange) fromMembers(ctx context.Context, call *Call) (Answer, *gate.Refusal, error) {
	op, o := call.Op, call.Snapshot.Origin
	path, err := url.PathUnescape(op.Path)
	if err != nil {
		panic("BUG: a canonical path cannot be decoded: " + err.Error())
	}
	slot := x.newSlot(call)
	if !slot.try() && call.wait(ctx, slot.acquire) != nil {
		return x.crowded(ctx)
	}
	defer slot.release()
	var got v2v3.Reply
	switch below, members := strings.CutPrefix(path, "/v2/members"); {
	case members:
		got, err = o.Store.Members(ctx, op.Method, below, call.ContentType, call.Body)
	case op.Surface == gate.Info && !op.IsWrite():
		got, err = o.info(ctx, op.Method, path)
	default:
		return Answer{}, gate.RefusePath, nil // etcd's own users are those of the v3 API now
	}
	if err != nil {
		refusal, err := x.failedStore(ctx, err, op)
		return Answer{}, refusal, err
	}
	x.Outage.Succeeded()
	a := Answer{Status: got.Status, Length: int64(len(got.Body)), Body: got.Body, Whole: true}
	for _, f := range got.Fields {
		a.Fields = append(a.Fields, http1.Field{Name: f[0], Value: f[1]})
	}
	a.Fields = append(a.Fields, http1.Field{Name: "Date", Value: o.heads.now()})
	if op.Method == gate.MethodHead {
		a.Body = nil
	}
	return a, nil, nil
}

// info answers a read of the machines or of statistics. Etcd has HEAD for the machines only.
func (o *Origin) info(ctx context.Context, method, path string) (v2v3.Reply, error) {
	if method == gate.MethodHead && path != "/v2/machines" {
		return v2v3.NotAllowed("GET"), nil
	}
	reply := v2v3.Reply{Status: http.StatusOK, Fields: [][2]string{{"Content-Type", "application/json"}}}
	if path == "/v2/stats/store" {
		reply.Body = o.Store.Statistics()
		return reply, nil
	}
	list, err := o.Store.MemberList(ctx)
	switch path {
	case "/v2/machines":
		reply.Fields[0][1], reply.Body = "text/plain; charset=utf-8", stats.Machines(list)
	case "/v2/stats/leader":
		reply.Body = stats.Leader(list)
	default:
		reply.Body = stats.Self(list)
	}
	return reply, err
}

// writer is the client of a write to a store.
type writer struct {
	call *Call
	slot slot
}

// write has the store carry out a write. It has no slot while it waits for others that change the
// same, so that they do not keep everybody from etcd.
func (x *Exchange) write(ctx context.Context, call *Call, parsed *v2store.Operation, a *Answer) (v2store.Answer, error) {
	w := writer{call, a.slot}
	a.slot = slot{}
	defer func() { a.slot = w.slot }()
	return call.Snapshot.Origin.Store.DoFor(ctx, parsed, &v2v3.Client{Client: turn.Client{Account: call.account, Wait: w.wait}, Known: call.Op.Identity.Name != "", Written: x.Written})
}

// wait calls a function that waits for other writes, and returns when the client has its slot again.
func (w *writer) wait(ctx context.Context, wait func(context.Context) error) error {
	w.slot.release()
	return w.call.wait(ctx, func(ctx context.Context) error {
		if err := wait(ctx); err != nil {
			return err
		}
		return w.slot.acquire(ctx)
	})
}

package shadow

import (
	"strings"
	"time"

	"etcd-tlsproxy/proxy/account"
	"etcd-tlsproxy/proxy/http1"
	"etcd-tlsproxy/proxy/v2store"
)

const (
	// maxBody bounds the bodies of requests and answers that are compared.
	maxBody = 1 << 20
	// sampleBytes is what a sample needs besides its bodies, and what their decoded forms need is decodedShare
	// times as much as they.
	sampleBytes, decodedShare = 1 << 10, 4
)

// Sample is an answer that is compared, with the request.
type Sample struct {
	s            *Shadow
	request      v2store.Request
	began, ended time.Time
	status       int
	index        uint64
	body         []byte
	charged      int64

	op      *v2store.Operation
	invalid *v2store.Error
	answer  *message
}

// Begin begins a sample with a request that is about to be sent, which was chosen. It returns nil if there is no
// room. Nothing refers to the arguments afterwards.
func (s *Shadow) Begin(method, key, query, contentType string, body []byte) *Sample {
	if len(body) > maxBody {
		s.counts.skip(Large)
		return nil
	}
	a := &Sample{s: s, began: time.Now()}
	if !a.charge(sampleBytes + len(key) + len(query) + len(body)) {
		return nil
	}
	a.request = v2store.Request{Method: method, Path: strings.Clone(key), Query: strings.Clone(query), ContentType: strings.Clone(contentType), Body: string(body)}
	return a
}

// charge makes room for so many bytes, and drops the sample if there is none.
func (a *Sample) charge(bytes int) bool {
	n := int64(decodedShare * bytes)
	if !a.s.pool.TryAcquire(a.s.account, n, account.Ordinary) {
		a.Skip(Full)
		return false
	}
	a.charged += n
	return true
}

// Skip drops the sample, and counts why.
func (a *Sample) Skip(why Reason) {
	a.s.counts.skip(why)
	a.Drop()
}

// Drop ends a sample of a request that was not answered.
func (a *Sample) Drop() {
	if a.charged > 0 {
		a.s.pool.Release(a.s.account, a.charged, account.Ordinary)
		a.charged = 0
	}
}

// Answered hands the answer over. It does not wait, and copies the arguments. The body is whole.
func (a *Sample) Answered(status int, fields []http1.Field, body []byte) {
	switch {
	case len(body) > maxBody:
		a.Skip(Large)
		return
	case !a.charge(len(body)):
		return
	}
	a.ended, a.status, a.index = time.Now(), status, indexOfHead(fields)
	a.body = append([]byte(nil), body...)
	select {
	case a.s.inbox <- a:
	default:
		a.Skip(Full)
	}
}

// read reads the request and the answer. It reports whether they can be compared.
func (a *Sample) read() bool {
	a.op, a.invalid = v2store.Parse(&a.request, a.began)
	var err error
	if a.answer, err = decode(a.body); err != nil {
		a.differs(Verdict, err.Error())
		return false
	}
	a.body = nil
	switch {
	case a.answer.Code == 0 && a.status < 300 && a.index > 0:
	case a.answer.Code >= v2store.CodeKeyNotFound && a.answer.Code <= v2store.CodeDirNotEmpty,
		a.answer.Code >= v2store.CodePrevValueRequired && a.answer.Code <= v2store.CodeRefreshTTLRequired:
	default:
		a.Skip(Other)
		return false
	}
	if a.op != nil && a.op.Action == v2store.Watch {
		a.Skip(Other)
		return false
	}
	if a.op != nil && a.op.Refresh {
		a.Skip(Refresh)
		return false
	}
	return true
}

// executed reports whether the sample is that of a write that was executed.
func (a *Sample) executed() bool { return a.answer.Code == 0 && a.op.Write() }

// differs ends the sample with a difference. What has no values.
func (a *Sample) differs(kind Kind, what string) {
	a.compared()
	a.s.counts.differs(Difference{Kind: kind, Method: a.request.Method, Key: a.request.Path, What: what}, a.s.o.Log)
}

// compared ends the sample.
func (a *Sample) compared() {
	a.s.counts.compared(a.request.Method != "GET")
	a.Drop()
}

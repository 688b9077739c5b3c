package v2store_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"time"
	"unsafe"

	"github.com/jonboulle/clockwork"
	"go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/client/pkg/v3/types"
	"go.etcd.io/etcd/server/v3/etcdserver"
	"go.etcd.io/etcd/server/v3/etcdserver/api"
	"go.etcd.io/etcd/server/v3/etcdserver/api/v2http"
	etcdstore "go.etcd.io/etcd/server/v3/etcdserver/api/v2store"
	"go.uber.org/zap"

	"etcd-tlsproxy/proxy/v2store"
)

// reference is etcd's HTTP handler on etcd's store, without raft and with a clock that the
// test sets.
type reference struct {
	etcdserver.ServerPeer // only the methods below are called

	store   etcdstore.Store
	clock   clockwork.FakeClock
	handler http.Handler
	expires int64 // replaces what the handler computes by the real clock
}

func newReference(start time.Time) *reference {
	r := &reference{store: etcdstore.New("/0", "/1"), clock: clockwork.NewFakeClockAt(start)}
	// The store has no way to set its clock from outside its package.
	clock := reflect.ValueOf(r.store).Elem().FieldByName("clock")
	reflect.NewAt(clock.Type(), unsafe.Pointer(clock.UnsafeAddr())).Elem().Set(reflect.ValueOf(r.clock))
	r.handler = v2http.NewClientHandler(zap.NewNop(), r, time.Minute)
	return r
}

// Do implements [etcdserver.ServerV2].
func (r *reference) Do(ctx context.Context, request etcdserverpb.Request) (etcdserver.Response, error) {
	if strings.HasPrefix(request.Path, "/1") {
		request.Sorted = true // the order is random otherwise
		if request.Expiration != 0 {
			request.Expiration = r.expires
		}
	}
	h := etcdserver.NewStoreRequestV2Handler(r.store, etcdserver.NewApplierV2(zap.NewNop(), r.store, nil))
	response, err := (*etcdserver.RequestV2)(&request).Handle(ctx, h)
	if err == nil {
		err = response.Err // raft returns the error of a write here
	}
	return response, err
}

func (r *reference) ClientCertAuthEnabled() bool { return false }

func (r *reference) Cluster() api.Cluster { return cluster{} }

type cluster struct{ api.Cluster }

func (cluster) ID() types.ID { return 0xabc }

// answer sends a request to the handler.
func (r *reference) answer(q *v2store.Request, expires int64) *httptest.ResponseRecorder {
	r.expires = expires
	request := httptest.NewRequest(q.Method, "/v2/keys", strings.NewReader(q.Body))
	request.URL.Path += q.Path
	request.URL.RawQuery = q.Query
	if q.ContentType != "" {
		request.Header.Set("Content-Type", q.ContentType)
	}
	w := httptest.NewRecorder()
	r.handler.ServeHTTP(w, request)
	return w
}

// event renders an event of the reference like its handler does.
func event(e *etcdstore.Event) *v2store.Event {
	return &v2store.Event{Action: v2store.Action(e.Action), Node: eventNode(e.Node), PrevNode: eventNode(e.PrevNode)}
}

func eventNode(n *etcdstore.NodeExtern) *v2store.Node {
	if n == nil {
		return nil
	}
	return &v2store.Node{Key: strings.TrimPrefix(n.Key, "/1"), Value: n.Value, Dir: n.Dir, Expiration: n.Expiration,
		TTL: n.TTL, ModifiedIndex: n.ModifiedIndex, CreatedIndex: n.CreatedIndex}
}

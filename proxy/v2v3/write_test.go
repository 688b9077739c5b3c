package v2v3

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"etcd-tlsproxy/proxy/v2store"
)

// TestNoIncrementIsLostBetweenStores lets clients of two stores increment numbers by
// compareAndSwap.
func TestNoIncrementIsLostBetweenStores(t *testing.T) {
	t.Parallel()
	f := start(t)
	stores := []*Store{f.Store, open(t, f.options)}
	const keys, clients, each = 3, 12, 20
	for k := range keys {
		f.do(fmt.Sprintf("PUT /n%d?value=0", k))
	}
	var running sync.WaitGroup
	for c := range clients {
		running.Go(func() {
			s, key := stores[c%2], fmt.Sprintf("/n%d", c%keys)
			for done := 0; done < each && !t.Failed(); {
				e := event(t, do(t, s, "GET "+key+"?quorum=true"))
				var n int
				_, _ = fmt.Sscan(*e.Node.Value, &n)
				got := do(t, s, fmt.Sprintf("PUT %s?prevIndex=%d&value=%d", key, e.Node.ModifiedIndex, n+1))
				if strings.HasPrefix(got, "200") {
					done++
				}
			}
		})
	}
	running.Wait()
	for k := range keys {
		if got := *event(t, f.do(fmt.Sprintf("GET /n%d?quorum=true", k))).Node.Value; got != fmt.Sprint(clients/keys*each) {
			t.Errorf("/n%d is %s, want %d", k, got, clients/keys*each)
		}
	}
	sameTree(t, stores[0], stores[1])
}

// TestPostsOfTwoStoresHaveUniqueNamesInOrder checks that the name of a POST is larger than all that were
// acknowledged before it began.
func TestPostsOfTwoStoresHaveUniqueNamesInOrder(t *testing.T) {
	t.Parallel()
	f := start(t)
	stores := []*Store{f.Store, open(t, f.options)}
	var mu sync.Mutex
	var names []string
	newest := ""
	var running sync.WaitGroup
	for c := range 12 {
		running.Go(func() {
			for i := range 15 {
				mu.Lock()
				before := newest
				mu.Unlock()
				e := event(t, do(t, stores[c%2], fmt.Sprintf("POST /q/%d?value=1", i%2)))
				name := e.Node.Key[strings.LastIndexByte(e.Node.Key, '/')+1:]
				if i%2 == 0 {
					continue
				}
				if name <= before {
					t.Errorf("got the name %s, want a larger one than %s", name, before)
				}
				mu.Lock()
				names, newest = append(names, name), max(newest, name)
				mu.Unlock()
			}
		})
	}
	running.Wait()
	slices.Sort(names)
	if got, want := len(slices.Compact(names)), len(names); got != want {
		t.Errorf("got %d names, want %d", got, want)
	}
	sameTree(t, stores[0], stores[1])
}

// TestAPostAmongManyWritesKeepsItsOrder proposes POSTs as after many conflicts: other writes are none any more,
// but other POSTs in the directory are.
func TestAPostAmongManyWritesKeepsItsOrder(t *testing.T) {
	f := start(t)
	other := open(t, f.options)
	f.do("POST /q?value=1")
	propose := func() *proposal {
		p, _, err := f.propose(parse(t, "POST /q?value=2"), maxConflicts)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	p := propose()
	do(t, other, "PUT /x?value=1")
	e, err := f.commit(testContext(t), p)
	if err != nil {
		t.Fatalf("after another write: %v", err)
	}
	if name := e.Node.Key[len("/q/"):]; name >= fmt.Sprintf("%020d", e.Node.CreatedIndex) {
		t.Errorf("got the name %s at the index %d, want a smaller one", name, e.Node.CreatedIndex)
	}
	p = propose()
	do(t, other, "PUT /x?value=1")
	do(t, other, "POST /q?value=3")
	if e, err := f.commit(testContext(t), p); !errors.Is(err, errConflict) {
		t.Errorf("after a POST in the same directory: got the event %+v and the error %v, want a conflict", e, err)
	}
	p = propose()
	do(t, other, "POST /elsewhere?value=3")
	if _, err := f.commit(testContext(t), p); err != nil {
		t.Errorf("after a POST in another directory: %v", err)
	}
	do(t, other, "DELETE /q?recursive=true")
	if answer, err := f.client().Range(testContext(t), &pb.RangeRequest{Key: f.keys.Queue("/q")}); err != nil || len(answer.Kvs) != 0 {
		t.Errorf("the queue of a removed directory is %v, %v, want none", answer.GetKvs(), err)
	}
}

// event decodes the body of an answer.
func event(t *testing.T, answer string) *v2store.Event {
	t.Helper()
	e := new(v2store.Event)
	_, body, _ := strings.Cut(answer, " {")
	if err := json.Unmarshal([]byte("{"+body), e); err != nil || e.Node == nil {
		t.Fatalf("decoding %q: %v", answer, err)
	}
	return e
}

// TestARefusalIsTrueAfterTheRequestBegan changes the tree through one store and at once asks the other one for what
// its mirror would refuse if it were behind.
func TestARefusalIsTrueAfterTheRequestBegan(t *testing.T) {
	t.Parallel()
	f := start(t)
	other := open(t, f.options)
	for i := range 100 {
		for _, pair := range [][2]string{
			{"PUT /k?value=1", "PUT /k?prevExist=true&value=2"},
			{"DELETE /k", "PUT /k?prevExist=false&value=2"},
			{"DELETE /k", "PUT /k/below?value=2"},
			{"DELETE /k/below", "DELETE /k?dir=true"},
		} {
			do(t, other, pair[0])
			if got := f.do(pair[1]); got[0] != '2' {
				t.Fatalf("in round %d, after %s, %s is refused: %s", i, pair[0], pair[1], got)
			}
		}
	}
}

// TestAQuorumReadSeesWhatAnotherStoreHasAcknowledged reads through one store what another one has just written.
func TestAQuorumReadSeesWhatAnotherStoreHasAcknowledged(t *testing.T) {
	t.Parallel()
	f := start(t)
	other := open(t, f.options)
	for i := range 200 {
		do(t, other, fmt.Sprintf("PUT /k?value=%d", i))
		if got := *event(t, f.do("GET /k?quorum=true")).Node.Value; got != fmt.Sprint(i) {
			t.Fatalf("got %s, want %d", got, i)
		}
	}
}

func TestAWriteThatIsTooLargeForEtcdIsRefused(t *testing.T) {
	t.Parallel()
	f := start(t)
	for _, size := range []int{1600 << 10, 3 << 20} {
		op := parse(t, "PUT /large?value=1")
		op.Value = strings.Repeat("x", size)
		a, err := f.Do(testContext(t), op)
		if err != nil || a.Status != 413 || !strings.Contains(string(a.Body), `"errorCode":300`) {
			t.Errorf("a value of %d bytes: got the answer %d %.200s and the error %v, want 413 with the code 300", size, a.Status, a.Body, err)
		}
	}
	a, err := f.Do(testContext(t), parse(t, "PUT /large"+strings.Repeat("/d", 130)+"?value=1"))
	if err != nil || a.Status != 413 || !strings.Contains(string(a.Body), `"errorCode":300`) {
		t.Errorf("a key in 130 new directories: got the answer %d %.200s and the error %v, want 413 with the code 300", a.Status, a.Body, err)
	}
	f.want("GET /large", `404 `+f.indexText()+` {"errorCode":100,"message":"Key not found","cause":"/large","index":`+f.indexText()+`}`)
}

// TestATreeThatUsesTheMemoryIsMadeNoLarger fills a tree. What makes room must go on.
func TestATreeThatUsesTheMemoryIsMadeNoLarger(t *testing.T) {
	f := start(t, func(o *Options) { o.MaxBytes = 6000 })
	value := strings.Repeat("x", 2000)
	full := func(request string) {
		t.Helper()
		a, err := f.Do(testContext(t), parse(t, request))
		if err != nil || a.Status != 500 || !strings.Contains(string(a.Body), `"errorCode":300`) || !strings.Contains(string(a.Body), "too much memory") {
			t.Errorf("%.30s: got the answer %d %.200s and the error %v, want 500 with the code 300 and the reason", request, a.Status, a.Body, err)
		}
	}
	f.do("PUT /a?value=" + value)
	f.do("PUT /b?value=" + value)
	full("PUT /c?value=" + value)
	full("PUT /a?value=" + value + value)
	full("POST /q?value=" + value)
	for i := range 20 {
		if a, err := f.Do(testContext(t), parse(t, fmt.Sprintf("PUT /d%d?dir=true", i))); err != nil || a.Status == 500 {
			break
		} else if i == 19 {
			t.Error("20 directories above the limit: all were created, want a refusal")
		}
	}
	f.do("PUT /a?refresh=true&ttl=100&prevExist=true")
	f.do("PUT /a?value=short")
	f.do("PUT /c?value=" + value[:500])
	f.do("DELETE /b")
	f.do("PUT /b?value=" + value)
}

// TestNoWriteTakesValuesOfClientsOfV3 has a foreign value below a directory and in its way.
func TestNoWriteTakesValuesOfClientsOfV3(t *testing.T) {
	f := start(t)
	c := f.client()
	put := func(key string) {
		if _, err := c.Put(testContext(t), &pb.PutRequest{Key: []byte(key), Value: []byte("foreign")}); err != nil {
			t.Fatal(err)
		}
		if err := f.reachNow(c); err != nil {
			t.Fatal(err)
		}
	}
	f.do("PUT /d/e/f?value=1")
	f.do("PUT /d2/f?value=1")
	put("/d/foreign")
	put("/alone")
	loaded := open(t, f.options)
	for _, s := range []*Store{f.Store, loaded} {
		for _, request := range []string{"DELETE /d?recursive=true", "PUT /d/foreign?value=1", "PUT /alone?value=1", "PUT /alone?prevExist=false&value=1"} {
			if got := do(t, s, request); !strings.HasPrefix(got, "500 ") || !strings.Contains(got, `"errorCode":300`) {
				t.Errorf("%s: got %s, want 500 with the code 300", request, got)
			}
		}
		if got := do(t, s, "GET /?recursive=true"); strings.Contains(got, "foreign") || strings.Contains(got, "alone") {
			t.Errorf("a foreign value is visible: %s", got)
		}
	}
	for _, request := range []string{"DELETE /d2?recursive=true", "DELETE /d/e?recursive=true"} {
		if got := f.do(request); got[0] != '2' {
			t.Errorf("%s: got %s, want success", request, got)
		}
	}
	left, err := c.Range(testContext(t), &pb.RangeRequest{Key: []byte("/"), RangeEnd: []byte("0")})
	if err != nil || len(left.Kvs) != 2 {
		t.Errorf("got the values %v and the error %v, want those of v3", left.GetKvs(), err)
	}
	if _, err := c.Txn(testContext(t), &pb.TxnRequest{Success: []*pb.RequestOp{{
		Request: &pb.RequestOp_RequestDeleteRange{RequestDeleteRange: &pb.DeleteRangeRequest{Key: []byte("/d/foreign")}}}}}); err != nil {
		t.Fatal(err)
	}
	if err := f.reachNow(c); err != nil {
		t.Fatal(err)
	}
	f.want("GET /d?quorum=true", `200 `+f.indexText()+` {"action":"get","node":{"key":"/d","dir":true,"modifiedIndex":103,"createdIndex":103}}`)
	if got := f.do("DELETE /d?recursive=true"); got[0] != '2' {
		t.Errorf("without the foreign value: got %s, want success", got)
	}
}

// TestALostEventIsReconstructed executes writes, and makes their events from what the store
// has at their revisions.
func TestALostEventIsReconstructed(t *testing.T) {
	t.Parallel()
	f := start(t)
	for _, request := range script {
		p, failure, err := f.propose(parse(t, request), 0)
		if err != nil {
			t.Fatal(err)
		}
		if failure != nil {
			continue
		}
		f.await(p)
		answer, err := f.client().Txn(testContext(t), f.request(p))
		if err != nil || !answer.Succeeded {
			t.Fatalf("%s: got the answer %v and the error %v", request, answer, err)
		}
		want := next(t, p.done)
		got, err := f.reconstruct(testContext(t), p, answer.Header.Revision)
		if err != nil {
			t.Fatalf("%s: %v", request, err)
		}
		if string(got.Body()) != string(want.Body()) || got.Index != want.Index {
			t.Errorf("%s:\n got %d %s\nwant %d %s", request, got.Index, got.Body(), want.Index, want.Body())
		}
		f.do("PUT /other?value=1")
		f.compact()
		var e *Error
		if _, err = f.reconstruct(testContext(t), p, answer.Header.Revision); !errors.As(err, &e) || e.Kind != Executed || e.Index != want.Index {
			t.Errorf("%s: after a compaction: got the error %v, want that it was executed at %d", request, err, want.Index)
		}
	}
}

// TestAWriteIsAnsweredAlthoughTheMirrorIsLoadedAgain loses the event of a write together with the mirror.
func TestAWriteIsAnsweredAlthoughTheMirrorIsLoadedAgain(t *testing.T) {
	f := start(t)
	f.do("PUT /a?value=1")
	p, _, err := f.propose(parse(t, "PUT /a?value=2"), 0)
	if err != nil {
		t.Fatal(err)
	}
	// The event is not delivered, because the write is not registered.
	answer, err := f.client().Txn(testContext(t), f.request(p))
	if err != nil || !answer.Succeeded {
		t.Fatalf("got the answer %v and the error %v", answer, err)
	}
	go f.reload(f.current(), "the test wants it")
	e, err := f.outcome(testContext(t), p, answer.Header.Revision)
	if err != nil {
		t.Fatal(err)
	}
	if got := string(e.Body()); !strings.Contains(got, `"value":"2"`) || !strings.Contains(got, `"prevNode":{"key":"/a","value":"1"`) {
		t.Errorf("got the event %s, want that of the write", got)
	}
}

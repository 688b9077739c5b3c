package shadow

import (
	"errors"
	"fmt"
	"io"
	"strconv"
	"sync"
	"time"

	"etcd-tlsproxy/proxy/http1"
	"etcd-tlsproxy/proxy/upstream"
	"etcd-tlsproxy/proxy/v2store"
)

const (
	// askPeriod is how often a watch that waits is asked again for what it does not tell.
	askPeriod = time.Second
	// headPeriod is how long an event that etcd has already may take after the head of its answer. Etcd sends
	// it at once.
	headPeriod = 250 * time.Millisecond
	// maxEvent bounds an event. Etcd refuses forms above 10 MiB, and JSON may need six bytes for one.
	maxEvent = 64 << 20
	// maxAtOnce is how many events that etcd has already are read at the same time, and maxSmall bounds each of them.
	maxAtOnce, maxSmall = 8, 1 << 20
)

// MaxRequests is how many requests a shadow has under way at the v2 API.
const MaxRequests = maxAtOnce

// ask is a question for the first event from an index on. An index of 0 asks only for etcd's index.
type ask struct {
	next uint64
	// wait is how long to wait for an event, and most bounds its bytes.
	wait time.Duration
	most int64
}

// read returns the events from an index on, or some of them. It waits a moment for the first.
func (r *reader) read(next uint64) ([]*event, error) {
	if next == 0 {
		head, _, err := r.poll(ask{most: maxEvent})
		if err != nil {
			return nil, err
		}
		r.mu.Lock()
		r.next = head + 1
		r.mu.Unlock()
		return nil, nil
	}
	e, head, err := r.readOne(ask{next, askPeriod, maxEvent})
	if err != nil || e == nil {
		return nil, err
	}
	return append([]*event{e}, r.readMore(e.index+1, head)...), nil
}

// readMore returns events that etcd has already, up to an index. One after the other they would arrive more slowly than
// many clients write, and etcd forgets them soon. What is missing is read later.
func (r *reader) readMore(next, last uint64) (list []*event) {
	if last < next {
		return nil
	}
	found := make([]*event, min(last+1-next, maxAtOnce))
	var running sync.WaitGroup
	for i := range found {
		running.Go(func() { found[i], _, _ = r.readOne(ask{next + uint64(i), headPeriod, maxSmall}) })
	}
	running.Wait()
	for i, e := range found {
		switch {
		case e == nil:
			return list
		case i == 0 || e.index > found[i-1].index: // others were asked for in the gap before it
			list = append(list, e)
		}
	}
	return list
}

// readOne returns the first event from an index on, or nil. What it tells of no event before is sure: an event that
// a waiting watch was told of is asked for again if it leaves a gap.
func (r *reader) readOne(a ask) (e *event, head uint64, err error) {
	head, body, err := r.poll(a)
	if err != nil || body == nil {
		return nil, head, err
	}
	e, err = newEvent(a.next-1, body)
	if err == nil && e.index > a.next && head < e.index {
		if _, body, err = r.poll(a); err == nil && body != nil {
			e, err = newEvent(a.next-1, body)
		}
	}
	if err != nil || body == nil {
		return nil, head, err
	}
	e.bytes = int64(len(body)) + minEvent
	return e, head, nil
}

// poll asks for an event, and returns etcd's index when it was asked. Without an event it ends when it is to be asked
// again.
func (r *reader) poll(a ask) (head uint64, body []byte, err error) {
	req := &upstream.Request{Method: "GET", Target: "/v2/keys/_?quorum=false"}
	if a.next > 0 {
		req.Target, req.Watch = "/v2/keys/?wait=true&recursive=true&waitIndex="+strconv.FormatUint(a.next, 10), true
	}
	resp, err := r.s.o.Pool.Do(r.s.ctx, req)
	if err != nil {
		return 0, nil, err
	}
	defer resp.Close()
	head = indexOfHead(resp.Fields)
	if a.next == 0 {
		_, err = readAll(resp, a.most)
		return head, nil, err
	}
	if resp.Status == 200 {
		if arrived, err := r.await(resp, a, head); !arrived || err != nil {
			return head, nil, err
		}
		resp.EndWatch()
	}
	body, err = readAll(resp, a.most)
	switch {
	case err != nil:
		return head, nil, err
	case resp.Status == 200 && len(body) == 0: // etcd ends a watch after five minutes
		return head, nil, nil
	case resp.Status == 200:
		return head, body, nil
	}
	if m, err := decode(body); err == nil && m.Code == v2store.CodeEventIndexCleared {
		return head, nil, errCleared
	}
	return head, nil, fmt.Errorf("the v2 API answers with the status %d", resp.Status)
}

// await waits for an event, until the watch is to be asked again.
func (r *reader) await(resp *upstream.Response, a ask, head uint64) (arrived bool, err error) {
	for waited := time.Duration(0); waited < a.wait; waited += headPeriod {
		if arrived, err = resp.Arrived(headPeriod); arrived || err != nil {
			return arrived, err
		}
		if waited == 0 && head >= a.next {
			r.s.settle(a.next-1, head)
		}
		select {
		case <-r.asked:
			return false, nil
		default:
		}
	}
	return false, nil
}

func indexOfHead(fields []http1.Field) uint64 {
	for _, f := range fields {
		if f.Name == "X-Etcd-Index" {
			index, _ := strconv.ParseUint(f.Value, 10, 64) // 0 is an index that nothing waits for
			return index
		}
	}
	return 0
}

func readAll(resp *upstream.Response, most int64) ([]byte, error) {
	body, err := io.ReadAll(io.LimitReader(resp, most+1))
	if err == nil && int64(len(body)) > most {
		err = errors.New("the event is too large")
	}
	return body, err
}

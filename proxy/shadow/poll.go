package shadow

import (
	"errors"
	"fmt"
	"io"
	"strconv"
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
)

// read returns the event at an index, or the first one behind it. It may return nil. What it tells of no event
// before is sure: an event that a waiting watch was told of is asked for again if it leaves a gap.
func (r *reader) read(next uint64) (*event, error) {
	if next == 0 {
		head, _, err := r.poll(0)
		if err != nil {
			return nil, err
		}
		r.mu.Lock()
		r.next = head + 1
		r.mu.Unlock()
		return nil, nil
	}
	head, body, err := r.poll(next)
	if err != nil || body == nil {
		return nil, err
	}
	e, err := newEvent(next-1, body)
	if err == nil && e.index > next && head < e.index {
		if _, body, err = r.poll(next); err == nil && body != nil {
			e, err = newEvent(next-1, body)
		}
	}
	if err != nil || body == nil {
		return nil, err
	}
	e.bytes = int64(len(body)) + minEvent
	return e, nil
}

// poll asks for the event at an index, and returns etcd's index when it was asked. Without an event it ends when it
// is to be asked again. An index of 0 asks only for etcd's index.
func (r *reader) poll(next uint64) (head uint64, body []byte, err error) {
	req := &upstream.Request{Method: "GET", Target: "/v2/keys/_?quorum=false"}
	if next > 0 {
		req.Target, req.Watch = "/v2/keys/?wait=true&recursive=true&waitIndex="+strconv.FormatUint(next, 10), true
	}
	resp, err := r.s.o.Pool.Do(r.s.ctx, req)
	if err != nil {
		return 0, nil, err
	}
	defer resp.Close()
	head = indexOfHead(resp.Fields)
	if next == 0 {
		_, err = readAll(resp)
		return head, nil, err
	}
	if resp.Status == 200 {
		if arrived, err := r.await(resp, next, head); !arrived || err != nil {
			return head, nil, err
		}
		resp.EndWatch()
	}
	body, err = readAll(resp)
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
func (r *reader) await(resp *upstream.Response, next, head uint64) (arrived bool, err error) {
	for waited := time.Duration(0); waited < askPeriod; waited += headPeriod {
		if arrived, err = resp.Arrived(headPeriod); arrived || err != nil {
			return arrived, err
		}
		if waited == 0 && head >= next {
			r.s.settle(next-1, head)
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

func readAll(resp *upstream.Response) ([]byte, error) {
	body, err := io.ReadAll(io.LimitReader(resp, maxEvent+1))
	if err == nil && len(body) > maxEvent {
		err = errors.New("the event is too large")
	}
	return body, err
}

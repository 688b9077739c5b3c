package proxy_test

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// observation is one watch: its request and its answer.
type observation struct {
	*shadow
	waitIndex     uint64 // 0: none
	before, after uint64 // etcd's index before the request and after the head
	index         uint64 // from the head
	body          string
}

// check compares the event with the events of its shadow, and with those of all shadows.
func (o *observation) check(all map[uint64]string) error {
	from := o.waitIndex
	if o.index < o.before || o.index > o.after {
		return fmt.Errorf("got index %d in the head, want one from %d to %d", o.index, o.before, o.after)
	}
	if from == 0 {
		from = o.index + 1
	}
	got, err := eventIndex(o.body)
	if err != nil {
		return err
	}
	if got < from {
		return fmt.Errorf("got event %d, want one since index %d", got, from)
	}
	for missed := range o.live {
		if from <= missed && missed < got {
			return fmt.Errorf("the watch missed event %d: got event %d", missed, got)
		}
	}
	body := withoutTTL.ReplaceAllString(o.body, "")
	switch {
	case body == o.live[got]:
		return nil
	case o.waitIndex == 0 && !o.gap(0, got):
		// An event between two requests of a hub comes from etcd's history. There the end of
		// a directory above counts although the key did not exist; clients read again.
		if body == all[got] && o.endsAbove(body) {
			return nil
		}
	case body == o.late[got], body == all[got] && o.onlyInHistory(body):
		return nil
	}
	return fmt.Errorf("got an event that etcd sent differently: %q live and %q late", o.live[got], o.late[got])
}

// write makes random changes. Several writers make some hundreds a second.
func (x *fire) write(seed uint64) {
	random := rand.New(rand.NewPCG(seed, 1))
	pace := time.NewTicker(6 * time.Millisecond)
	defer pace.Stop()
	send := func(method, key, query string, form ...string) {
		body := url.Values{}
		for i := 0; i < len(form); i += 2 {
			body.Set(form[i], form[i+1])
		}
		req, err := http.NewRequest(method, x.etcd+"/v2/keys"+key+query, strings.NewReader(body.Encode()))
		if err != nil {
			x.t.Error(err)
			return
		}
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		if resp, err := http.DefaultClient.Do(req); err == nil {
			_, _ = io.Copy(io.Discard, resp.Body)
			resp.Body.Close()
		}
	}
	for n := 0; x.stop.Err() == nil; n++ {
		<-pace.C
		value := fmt.Sprintf("%d-%d", seed, n)
		switch random.IntN(16) {
		case 0:
			send("DELETE", "/w/d/k", "")
		case 1:
			send("DELETE", "/w/d", "?recursive=true") // the watched directory
		case 2:
			if random.IntN(4) == 0 {
				send("DELETE", "/w", "?recursive=true") // its parent
			}
		case 3:
			send("PUT", "/w/d/k", "", "value", value, "prevValue", fmt.Sprintf("%d-%d", seed, n-1))
		case 4:
			send("PUT", "/w/d/ttl"+strconv.Itoa(n%5), "", "value", value, "ttl", "1")
		case 5:
			send("PUT", "/w/d/sub", "?dir=true", "ttl", "1")
		case 6:
			send("PUT", "/w/d/sub", "", "value", value) // a file in the directory's place
			send("PUT", "/w/d/sub", "?dir=true")        // and a directory in the file's
		case 7:
			send("POST", "/w/q", "", "value", value)
		case 8:
			send("PUT", "/w/d/ttl1", "", "refresh", "true", "prevExist", "true", "ttl", "2")
		case 9:
			send("PUT", "/w/d/_hidden", "", "value", value)
		case 10, 11:
			send("PUT", "/w/d/sub/deep/x", "", "value", value)
		default:
			send("PUT", "/w/d/k", "", "value", value)
		}
	}
}

// watch is one client that watches repeatedly, in all the ways that clients do.
func (x *fire) watch(seed uint64) {
	random := rand.New(rand.NewPCG(seed, 2))
	client := x.f.Client([]string{"h1", "h1", "h1", "h2"}[random.IntN(4)])
	last := make([]uint64, len(x.shadows)) // the last events of this client
	for x.stop.Err() == nil {
		which := random.IntN(len(x.shadows))
		o := observation{shadow: x.shadows[which]}
		switch random.IntN(8) {
		case 0, 1, 2:
			if last[which] > 0 {
				o.waitIndex = last[which] + 1 // like clients that follow a key
			}
		case 3:
			o.waitIndex = max(last[which], 41) - 40
		case 4:
			o.waitIndex = 1 + uint64(random.IntN(3)) // soon older than etcd's history
		case 5:
			o.waitIndex = last[which] + 5
		}
		var ok bool
		if o.before, ok = x.index(); !ok {
			continue
		}
		if x.try(client, &o, random) {
			if index, err := eventIndex(o.body); err == nil {
				last[which] = index
			}
			x.mu.Lock()
			x.observed = append(x.observed, o)
			x.mu.Unlock()
		}
	}
}

// try makes one watch and reports whether it was answered with an event.
func (x *fire) try(client *http.Client, o *observation, random *rand.Rand) bool {
	ctx := x.stop
	if random.IntN(5) == 0 { // a client that disconnects
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, time.Duration(random.IntN(20))*time.Millisecond)
		defer cancel()
	}
	req, err := http.NewRequestWithContext(ctx, "GET", x.f.URL()+o.query(o.waitIndex), nil)
	if err != nil {
		x.t.Error(err)
		return false
	}
	resp, err := client.Do(req)
	if err != nil {
		return false
	}
	defer resp.Body.Close()
	var known bool
	if o.after, known = x.index(); !known {
		return false
	}
	o.index, err = strconv.ParseUint(resp.Header.Get("X-Etcd-Index"), 10, 64)
	if random.IntN(6) == 0 {
		<-time.After(time.Duration(random.IntN(5)) * time.Millisecond) // a client that reads late
	}
	body, readErr := io.ReadAll(resp.Body)
	o.body = string(body)
	x.mu.Lock()
	defer x.mu.Unlock()
	switch {
	case readErr != nil:
		if ctx.Err() == nil {
			x.broken++
		}
		return false
	case resp.StatusCode == 400 && strings.Contains(o.body, `"errorCode":401`) && o.waitIndex > 0 && o.waitIndex+900 < o.after:
		x.cleared++
		return false
	case resp.StatusCode >= 500 && x.dies.Load():
		return false
	case resp.StatusCode != 200 || err != nil || o.body == "":
		x.t.Errorf("watching %s since %d: got %d %q, %v; want an event", o.key, o.waitIndex, resp.StatusCode, o.body, err)
		return false
	}
	return true
}

package attack

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// largeValue is the size of a value that every event carries.
const largeValue = 2 << 20

// ancestorLevels is how deep the written key is, and how many keys above it are watched.
const ancestorLevels = 45

// ancestors watches all folders above a key recursively, and writes large values to it. It
// takes none of the events. With each round there are as many watches more.
func ancestors(ctx context.Context, c *crew, ready func()) error {
	levels := make([]string, ancestorLevels)
	key := c.Folder
	for i := range levels {
		key += "/a"
		levels[i] = key
	}
	// Only the first round is certain to find the server ready for it.
	const rounds, pause = 4, time.Second
	_, _ = c.put(ctx, key+"/leaf", "small")
	for round := 0; ctx.Err() == nil; round++ {
		if round < rounds {
			c.watchAll(ctx, levels)
		}
		for range 2 {
			_, _ = c.put(ctx, key+"/leaf", long(largeValue))
		}
		if round == 0 {
			ready()
		}
		wait(ctx, pause)
	}
	return nil
}

// watchAll starts a recursive watch of each key and reads no event. On HTTP/2 all are streams of
// one connection.
func (c *crew) watchAll(ctx context.Context, keys []string) {
	watch := func(n int) *request {
		return &request{method: "GET", target: "/v2/keys" + keys[n] + "?wait=true&recursive=true", authorization: c.authorization()}
	}
	connections, requests := len(keys), 1
	if c.Protocol == HTTP2 {
		connections, requests = 1, len(keys)
	}
	c.start(ctx, connections, c.firsts(requests, watch))
}

// start opens connections that send their first bytes and read nothing until the crew
// closes them.
func (c *crew) start(ctx context.Context, connections int, first func(i int) []byte) {
	c.each(ctx, connections, func(i int) error {
		k, err := c.dial(ctx, i, dialOptions{receive: smallBuffer})
		if err != nil {
			return err
		}
		_ = k.SetWriteDeadline(time.Now().Add(firstTimeout))
		_, err = k.Write(first(i))
		return err
	})
	wait(ctx, beat) // the watches are registered only when the server has read them
}

// waiters waits for the next event of one key from 200 old indexes, and in 100 ways that cannot be
// shared, and writes large values to the key. It takes none of the events.
func waiters(ctx context.Context, c *crew, ready func()) error {
	const old, streams = 200, 100
	key := c.Folder + "/waiters"
	index := 0
	for n := range old {
		got, err := c.put(ctx, fmt.Sprintf("%s/other/%d", c.Folder, n), "x")
		if err != nil {
			return fmt.Errorf("writing another key: %w", err)
		}
		if index, err = strconv.Atoi(strings.TrimSpace(got.index)); err != nil {
			return fmt.Errorf("writing another key: status %d without an index: %w", got.status, err)
		}
	}
	watch := func(n int) *request {
		query := fmt.Sprintf("waitIndex=%d", index-n)
		if n >= old {
			query = fmt.Sprintf("stream=true&n=%d", n)
		}
		return &request{method: "GET", target: "/v2/keys" + key + "?wait=true&" + query, authorization: c.authorization()}
	}
	connections, requests := old+streams, 1
	if c.Protocol == HTTP2 {
		connections, requests = 4, (old+streams)/4
	}
	for first := true; ctx.Err() == nil; first = false {
		c.start(ctx, connections, c.firsts(requests, watch))
		_, _ = c.put(ctx, key, long(largeValue))
		if first {
			ready()
		}
		wait(ctx, time.Second)
	}
	return nil
}

// pastValue is nearly as large as a write can be: the smaller it is, the sooner its answers are
// gone from the memory of a server that holds too many of them.
const pastValue = 8 << 20

// pastEvents asks for the event of one large value with many old indexes, whose events all
// exist. It takes none of the answers.
func pastEvents(ctx context.Context, c *crew, ready func()) error {
	key := c.Folder + "/past"
	got, err := c.put(ctx, key, long(pastValue))
	if err != nil {
		return fmt.Errorf("writing the value: %w", err)
	}
	index, err := strconv.Atoi(strings.TrimSpace(got.index))
	if err != nil {
		return fmt.Errorf("writing the value: status %d without an index: %w", got.status, err)
	}
	const watches = 60
	watch := func(n int) *request {
		target := fmt.Sprintf("/v2/keys%s?wait=true&waitIndex=%d", key, max(1, index-n%watches))
		return &request{method: "GET", target: target, authorization: c.authorization()}
	}
	connections, requests := watches, 1
	if c.Protocol == HTTP2 {
		connections, requests = 1, watches
	}
	return c.holdAnswers(ctx, connections, requests, watch, ready)
}

// ExpiryKey is restricted to the user whose certificate expires.
const ExpiryKey = "/siege/restricted"

// expiry watches a restricted key with a certificate that expires during the attack, and
// reports each value that arrives after that.
func expiry(ctx context.Context, c *crew, ready func()) error {
	if len(c.config.Certificates) == 0 {
		return fmt.Errorf("this attack needs a certificate")
	}
	ends := c.config.Certificates[0].Leaf.NotAfter
	k, err := c.dial(ctx, 0, dialOptions{})
	if err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { _ = k.raw.Close() })
	defer stop()
	a, err := c.newAsker(k)
	if err != nil {
		return err
	}
	ready()
	for ctx.Err() == nil {
		got, err := a.ask(&request{method: "GET", target: "/v2/keys" + ExpiryKey + "?wait=true"})
		if late := time.Since(ends); got != nil && got.status == 200 && len(got.body) > 0 && late > ExpirySlack {
			c.reportWrong("a restricted value arrived %v after the certificate had expired", late.Round(100*time.Millisecond))
		}
		if err != nil {
			<-ctx.Done()
		}
		wait(ctx, refusedPause)
	}
	return nil
}

// ExpirySlack is how much later than its certificate a watch may end.
const ExpirySlack = time.Second

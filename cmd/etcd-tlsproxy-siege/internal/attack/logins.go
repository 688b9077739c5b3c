package attack

import (
	"context"
	"fmt"
	"time"
)

const (
	// guessers is how many wrong logins each address has in flight: four addresses fill a
	// queue of 64.
	guessers = 17
	// fewGuessers bounds all guessers of many addresses, or one each: more would be a flood of
	// handshakes, which is another attack.
	fewGuessers = 256
	// refusedPause is how long a guesser waits after an answer that is not 401. A flood of
	// such answers is another attack.
	refusedPause = 50 * time.Millisecond
)

// guessers returns how many logins are in flight.
func (c *crew) guessers() int {
	return min(guessers*len(c.Sources), max(fewGuessers, len(c.Sources)))
}

// guess returns a write with a wrong password of a user who exists and whose hash is slow.
func guess(n int) *request {
	return &request{
		method: "PUT", target: "/v2/keys/conftool/guess", body: "value=x", authorization: basic("conftool", fmt.Sprintf("wrong-%d", n)),
	}
}

// guesses tries wrong passwords and waits for each answer.
func guesses(ctx context.Context, c *crew, ready func()) error {
	return c.connectAgain(ctx, func(k *conn, i, _ int) {
		stop := context.AfterFunc(ctx, func() { _ = k.raw.Close() })
		c.guessOn(ctx, k, i)
		k.leave(stop())
	}, ready)
}

// connectAgain lets the guessers connect again and again, each with a pause after each attempt.
// use has attempt number n of guesser i, and closes its connection.
func (c *crew) connectAgain(ctx context.Context, use func(k *conn, i, n int), ready func()) error {
	return together(ctx, c.guessers(), func(i int) {
		for n := 0; ctx.Err() == nil; n++ {
			if k, err := c.dial(ctx, i, dialOptions{}); err == nil {
				use(k, i, n)
			}
			wait(ctx, refusedPause)
		}
	}, ready)
}

// guessOn guesses on one connection until it ends.
func (c *crew) guessOn(ctx context.Context, k *conn, i int) {
	a, err := c.newAsker(k)
	for n := 0; err == nil && ctx.Err() == nil; n++ {
		var got *answer
		got, err = a.ask(guess(i<<20 + n))
		switch {
		case got == nil:
		case got.status < 300:
			c.reportWrong("a wrong password was accepted with status %d", got.status)
		case got.status != 401 && !wait(ctx, refusedPause):
			return
		}
	}
}

// leavers try wrong passwords and do not wait for the answers.
func leavers(ctx context.Context, c *crew, ready func()) error {
	return c.connectAgain(ctx, func(k *conn, i, n int) {
		_ = k.SetDeadline(time.Now().Add(firstTimeout))
		_, err := k.Write(c.first(guess(i<<20 + n)))
		if err == nil {
			wait(ctx, leaveAfter)
		}
		k.leave(err != nil)
	}, ready)
}

// leaveAfter gives the server the time to read a request before the client leaves.
const leaveAfter = 5 * time.Millisecond

package attack

import (
	"bytes"
	"context"
	"io"
	"sync"
	"time"
)

// FleetKey is what a fleet watches.
const FleetKey = "/siege/fleet"

// fleet is no attack: many watchers behind one address, each on a connection of its own. All
// must be served, and all must receive each event.
func fleet(ctx context.Context, c *crew, ready func()) error {
	var watching, running sync.WaitGroup
	begin := make(chan struct{})
	request := (&request{method: "GET", target: "/v2/keys" + FleetKey + "?wait=true"}).http1(HTTP11)
	c.each(ctx, c.Size, func(i int) error {
		k, err := c.dial(ctx, i, dialOptions{})
		if err != nil {
			if ctx.Err() == nil {
				c.reportWrong("a watcher could not connect: %v", err)
			}
			return err
		}
		watching.Add(1)
		running.Go(func() {
			once := sync.OnceFunc(watching.Done)
			defer once()
			c.watch(ctx, k, request, begin, once)
		})
		return nil
	})
	close(begin)
	watching.Wait()
	ready()
	<-ctx.Done()
	running.Wait()
	return nil
}

// watch is one watcher of a fleet: it watches until it has an event, and then again.
func (c *crew) watch(ctx context.Context, k *conn, request []byte, begin <-chan struct{}, watching func()) {
	stop := context.AfterFunc(ctx, func() { _ = k.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	buf := make([]byte, 4096)
	for {
		if _, err := k.Write(request); err != nil {
			if ctx.Err() == nil {
				c.reportWrong("a watcher was disconnected: %v", err)
			}
			return
		}
		watching()
		for have := 0; ; {
			n, err := k.Read(buf[have:])
			have += n
			if err != nil {
				if ctx.Err() == nil {
					c.reportWrong("a watcher was disconnected: %v", err)
					k.leave(true)
				}
				return
			}
			if !bytes.HasPrefix(buf[:have], []byte("HTTP/1.1 200 ")) && have >= 12 {
				c.reportWrong("a watcher got %.40q", buf[:have])
				return
			}
			if bytes.HasSuffix(buf[:have], []byte("\r\n0\r\n\r\n")) {
				break
			}
			if have == len(buf) {
				c.reportWrong("a watcher got an event of more than %d bytes", len(buf))
				return
			}
		}
		c.answers.Add(1)
	}
}

// connectsPerSecond is the rate at which a legitimate fleet connects.
const connectsPerSecond = 2000

// connects is no attack: a fleet behind one address that connects at a high rate, with
// resumed handshakes, and asks once on each connection. All must be served.
func connects(ctx context.Context, c *crew, ready func()) error {
	ask := (&request{method: "GET", target: smallKey}).http1(HTTP11)
	var running sync.WaitGroup
	slots := make(chan struct{}, 256)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	ready()
	for i := 0; ; {
		select {
		case <-tick.C:
		case <-ctx.Done():
			running.Wait()
			return nil
		}
		for range connectsPerSecond / 100 {
			i++
			slots <- struct{}{}
			running.Go(func() {
				defer func() { <-slots }()
				k, err := c.dial(ctx, i, dialOptions{})
				if err != nil {
					if ctx.Err() == nil {
						c.reportWrong("a client could not connect: %v", err)
					}
					return
				}
				defer k.leave(false)
				_ = k.SetDeadline(time.Now().Add(dialTimeout))
				head := make([]byte, 13)
				_, err = k.Write(ask)
				if err == nil {
					_, err = io.ReadFull(k, head)
				}
				if err != nil || string(head) != "HTTP/1.1 200 " {
					c.reportWrong("a client got %q, %v", head, err)
					return
				}
				c.answers.Add(1)
			})
		}
	}
}

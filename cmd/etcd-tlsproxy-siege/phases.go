package main

import (
	"context"
	"fmt"
	"path/filepath"
	"time"

	"etcd-tlsproxy/cmd/etcd-tlsproxy-siege/internal/victim"
)

// phases goes through the phases of the row.
func (c *cell) phases(ctx context.Context, group *victim.Group) error {
	half := c.siege.duration / 2
	if !c.pass(ctx, half, nil) {
		return ctx.Err()
	}
	c.row.EtcdQuiet, _ = c.etcd.Memory()
	if c.siege.control {
		group.Enter(control)
		if err := c.attackAnother(ctx); err != nil {
			return err
		}
		group.Enter(arriving) // neither quiet nor under attack
		c.pass(ctx, time.Second, nil)
	}
	c.server.Records()
	group.Enter(arriving)
	began, records := time.Now(), c.server.Records()
	a, err := c.attackAt(c.server.Address)
	if err != nil {
		return err
	}
	arrived := a.arrive(ctx)
	group.Enter(under)
	if arrived {
		c.pass(ctx, c.siege.duration, c.beside)
	}
	group.Enter(after)
	c.row.Attack, c.row.AttackersCPU, err = a.stop(arrived)
	c.row.RecordsRate = float64(c.server.Records()-records) / time.Since(began).Seconds()
	if err != nil && c.row.Early == "" {
		return err
	}
	if !arrived {
		c.row.Early = fmt.Sprintf("the attackers were not in full effect after %v", arrivalTimeout)
	}
	c.pass(ctx, half, nil)
	return ctx.Err()
}

// attackAt starts the attackers against an address.
func (c *cell) attackAt(address string) (*attackers, error) {
	spec := c.spec(c.row.Protocol, c.row.Attackers)
	spec.Address, spec.CA = address, c.files.CA()
	if c.prepare != nil {
		if err := c.prepare(c, &spec); err != nil {
			return nil, err
		}
	}
	return startAttackers(c.siege.self, filepath.Join(c.dir, "attackers.log"), &spec)
}

// attackAnother attacks a second server for a while.
func (c *cell) attackAnother(ctx context.Context) error {
	etcd, server, err := c.start(c.row.Server)
	if err != nil {
		return err
	}
	defer func() {
		server.Kill()
		etcd.Kill()
	}()
	a, err := c.attackAt(server.Address)
	if err != nil {
		return err
	}
	arrived := a.arrive(ctx)
	if arrived {
		c.pass(ctx, c.siege.duration, nil)
	}
	_, _, err = a.stop(arrived)
	return err
}

// What an attack may make the servers use before it is ended early.
const (
	// maxServerMemory is a multiple of limits.memory at which the kernel would have ended the
	// proxy on a machine of its own.
	maxServerMemory = 6
	maxEtcdMemory   = 6 << 30
)

// look is the interval at which memory and processes are looked at. Peaks between are not
// missed, because the kernel keeps them.
const look = 100 * time.Millisecond

// pass lets time pass, looks after the servers, and calls beside. It ends early if a server has
// ended or uses too much memory, and reports whether the run goes on.
func (c *cell) pass(ctx context.Context, d time.Duration, beside func(*cell) error) bool {
	tick := time.NewTicker(look)
	defer tick.Stop()
	began, last := time.Now(), time.Time{}
	for time.Since(began) < d {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return false
		}
		now, peak := c.server.Memory()
		c.row.ServerPeak = max(c.row.ServerPeak, peak)
		etcdNow, etcdPeak := c.etcd.Memory()
		c.row.EtcdPeak = max(c.row.EtcdPeak, etcdPeak)
		c.server.Records()
		if beside != nil && time.Since(last) >= c.every {
			last = time.Now()
			c.beats++
			if err := beside(c); err != nil {
				c.row.Early = err.Error()
			}
		}
		switch {
		case c.server.Ended() != nil:
			c.row.Early = fmt.Sprintf("the server has ended: %v", c.server.Ended())
			return true
		case c.etcd.Ended() != nil:
			c.row.Early = fmt.Sprintf("etcd has ended: %v", c.etcd.Ended())
			return true
		case c.row.MemoryLimit > 0 && now > maxServerMemory*c.row.MemoryLimit:
			c.row.Early = fmt.Sprintf("the server uses %s of memory", mib(now))
			return true
		case etcdNow > maxEtcdMemory:
			c.row.Early = fmt.Sprintf("etcd uses %s of memory", mib(etcdNow))
			return true
		}
	}
	return true
}

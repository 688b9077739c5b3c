package main

import (
	"context"
	"errors"
	"path/filepath"
	"time"

	"etcd-tlsproxy/cmd/etcd-tlsproxy-siege/internal/attack"
	"etcd-tlsproxy/cmd/etcd-tlsproxy-siege/internal/victim"
)

// phases goes through the phases of the row.
func (c *cell) phases(ctx context.Context, group *victim.Group) (err error) {
	half := c.siege.duration / 2
	if c.row.Attackers == company {
		if c.fleet, err = c.startFleet(ctx); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, c.stopFleet()) }()
	}
	c.pass(ctx, half)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	c.row.EtcdQuiet, _ = c.etcd.Memory()
	if c.siege.control {
		group.Enter(control)
		if err := c.attackAnother(ctx); err != nil {
			return err
		}
		group.Enter(between)
		c.pass(ctx, time.Second)
	}
	group.Enter(arriving)
	began, records := time.Now(), c.server.Records()
	a, err := c.attackAt(c.server.Address)
	if err != nil {
		return err
	}
	c.passUntil(ctx, arrivalTimeout, a.ready)
	group.Enter(under)
	c.attacked = true
	c.pass(ctx, c.duration())
	c.attacked = false
	group.Enter(after)
	c.row.Attack, c.row.AttackersCPU, err = a.stop()
	c.row.RecordsRate = float64(c.server.Records()-records) / time.Since(began).Seconds()
	if err != nil {
		return err
	}
	c.pass(ctx, half)
	return ctx.Err()
}

// startFleet starts a legitimate fleet, which stays for the whole row.
func (c *cell) startFleet(ctx context.Context) (*attackers, error) {
	spec := attack.Spec{
		Attack: "fleet", Protocol: attack.HTTP11, Address: c.server.Address, Sources: []string{fleetAddress}, CA: c.files.CA(), Size: companySize,
	}
	fleet, err := startAttackers(c.siege.self, filepath.Join(c.dir, "fleet.log"), &spec)
	if err == nil {
		c.passUntil(ctx, arrivalTimeout, fleet.ready)
	}
	return fleet, err
}

// stopFleet checks that all watchers of the fleet were served.
func (c *cell) stopFleet() error {
	result, _, err := c.fleet.stop()
	switch {
	case err != nil:
		return err
	case result.Wrong > 0:
		c.row.report("the fleet: %d times: %s", result.Wrong, result.WrongWhat)
	case result.Answers < companySize:
		c.row.report("the fleet of %d received %d events, want at least one each", companySize, result.Answers)
	}
	return nil
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
	etcd, server, err := c.start()
	if err != nil {
		return err
	}
	defer func() {
		server.Kill()
		etcd.Close()
	}()
	a, err := c.attackAt(server.Address)
	if err != nil {
		return err
	}
	c.passUntil(ctx, arrivalTimeout, a.ready)
	c.pass(ctx, c.duration())
	_, _, err = a.stop()
	return err
}

// arrivalTimeout is how long a siege waits for attackers to be in full effect. A server that
// makes them wait longer is attacked by those who have arrived.
const arrivalTimeout = 15 * time.Second

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

// pass lets time pass, looks after the servers, and does what belongs beside the attack. It ends
// early if a server has ended or uses too much memory, or with ctx.
func (c *cell) pass(ctx context.Context, d time.Duration) { c.passUntil(ctx, d, nil) }

// passUntil lets time pass until a channel is closed.
func (c *cell) passUntil(ctx context.Context, d time.Duration, until <-chan struct{}) {
	tick := time.NewTicker(look)
	defer tick.Stop()
	began, last, lastEvent := time.Now(), time.Time{}, time.Time{}
	for time.Since(began) < d {
		select {
		case <-tick.C:
		case <-until:
			return
		case <-ctx.Done():
			return
		}
		now, peak := c.server.Memory()
		c.row.ServerPeak = max(c.row.ServerPeak, peak)
		etcdNow, etcdPeak := c.etcd.Memory()
		c.row.EtcdPeak = max(c.row.EtcdPeak, etcdPeak)
		c.server.Records()
		if c.fleet != nil && time.Since(lastEvent) >= companyEvery {
			lastEvent = time.Now()
			_ = c.etcd.Put(attack.FleetKey, lastEvent.String()) // a fleet without events is reported
		}
		if c.beside != nil && c.attacked && time.Since(last) >= c.every {
			last = time.Now()
			c.beats++
			if err := c.beside(c); err != nil {
				c.row.report("beside the attack: %v", err)
			}
		}
		switch {
		case c.server.Ended() != nil:
			c.row.report("the server has ended: %v", c.server.Ended())
			return
		case c.etcd.Ended() != nil:
			c.row.report("etcd has ended: %v", c.etcd.Ended())
			return
		case c.row.MemoryLimit > 0 && now > maxServerMemory*c.row.MemoryLimit:
			c.row.report("the server uses %s of memory", mib(now))
			return
		case etcdNow > maxEtcdMemory:
			c.row.report("etcd uses %s of memory", mib(etcdNow))
			return
		}
	}
}

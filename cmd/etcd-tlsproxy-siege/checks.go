package main

import (
	"fmt"
	"net/http"
	"strings"
	"time"

	"etcd-tlsproxy/cmd/etcd-tlsproxy-siege/internal/attack"
)

// etcdRestarts checks that etcd can read what was written back from its disk.
func etcdRestarts(c *cell) (string, error) {
	c.etcd.Kill()
	if err := c.etcd.Start(); err != nil {
		return "etcd does not start again: " + cause(err), nil
	}
	return "", nil
}

// cause returns the line of a server's log that says why it ended, or else the first line.
func cause(err error) string {
	text := err.Error()
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, "panic:") {
			return strings.TrimSpace(line)
		}
	}
	first, _, _ := strings.Cut(text, "\n")
	return first
}

// nothingIsHeld checks that no connection without a whole head is left.
func nothingIsHeld(c *cell) (string, error) {
	if n := c.row.Attack.Open; n > 0 {
		return fmt.Sprintf("%d of %d connections without a whole head are still open after %v", n, c.row.Attack.Opened, c.duration()), nil
	}
	return "", nil
}

// rebinding asks the admin address as a browser does whose page has rebound its own name to
// this machine.
func rebinding(c *cell) (string, error) {
	for _, request := range []struct{ method, path string }{
		{http.MethodGet, "/metrics"}, {http.MethodGet, "/-/status.json"}, {http.MethodPost, "/-/reload"},
	} {
		status, err := c.server.Status(request.method, request.path, "attacker.example:80")
		if err != nil {
			return "", err
		}
		if status < 300 {
			return fmt.Sprintf("%s %s was answered with status %d to a page of attacker.example", request.method, request.path, status), nil
		}
	}
	return "", nil
}

// changeUsers changes the file of users as Puppet does when a user is added. A proxy applies a
// change when the file rests.
func changeUsers(c *cell) error { return c.files.WriteUsers(c.beats) }

// certificateUser can read the restricted key by a certificate.
const certificateUser = "certificate"

// shortCertificate gives the attacker a certificate that expires within the attack.
func shortCertificate(c *cell, spec *attack.Spec) (err error) {
	c.expires = time.Now().Add(c.duration() / 3)
	spec.Certificate, spec.Key, err = c.files.ClientUntil(certificateUser, c.expires)
	return err
}

// writeRestricted writes what only root and the certificate's user may read, once the certificate
// has been invalid for long enough. Until then the attacker's watch waits.
func writeRestricted(c *cell) error {
	if time.Since(c.expires) < attack.ExpirySlack {
		return nil
	}
	c.secrets++
	return c.etcd.Put(attack.ExpiryKey, fmt.Sprint(c.secrets))
}

// secretsWereWritten checks that there was something to steal.
func secretsWereWritten(c *cell) (string, error) {
	if c.secrets == 0 {
		return "nothing was written after the certificate had expired: --duration is too short", nil
	}
	return "", nil
}

// writeFleet writes what the fleet watches. The last event is early enough to reach all
// watchers.
func writeFleet(c *cell) error { return c.etcd.Put(attack.FleetKey, fmt.Sprint(c.beats)) }

// fleetSize is the size of the largest fleet: 8,000 watchers.
const fleetSize = 8000

// largeFleet sets the size of the fleet.
func largeFleet(_ *cell, spec *attack.Spec) error {
	spec.Size = fleetSize
	return nil
}

// fleetIsServed checks that all watchers have received all events but the last, which may be
// under way at the end.
func fleetIsServed(c *cell) (string, error) {
	if want := int64(max(c.beats-1, 1) * fleetSize); c.row.Attack.Answers < want {
		return fmt.Sprintf("the fleet received %d events, want at least %d", c.row.Attack.Answers, want), nil
	}
	return "", nil
}

// connectRate tells how many connections there were in fact: this machine also carries the fleet.
func connectRate(c *cell) string {
	return fmt.Sprintf("%.0f connections a second were made and served", float64(c.row.Attack.Answers)/c.duration().Seconds())
}

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/config"
	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/console"
	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/files"
	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/htpasswd"
	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/statuspage"
)

const (
	// inForceTimeout is longer than the two seconds within which a proxy applies a change.
	inForceTimeout = 5 * time.Second
	inForcePoll    = 100 * time.Millisecond
)

// change edits the file, reports it, and returns an error if the running proxy of a
// configuration does not apply it.
func (e *edited) change(ctx context.Context, c *console.Console, configFile string, create bool, edit func(*htpasswd.File) ([]byte, error)) error {
	since := time.Now()
	if err := htpasswd.Update(e.File, create, edit); err != nil {
		return err
	}
	return errors.Join(e.report(c), checkInForce(ctx, configFile, e.File, since))
}

// checkInForce waits until the running proxy of a configuration has read its files at or
// after the given time, and returns an error if it has not applied its users. It returns nil
// if there is no such configuration, if the configuration does not name the htpasswd file,
// or if no proxy runs: then nothing is in force yet, and nothing is out of date.
func checkInForce(ctx context.Context, configFile, changed string, since time.Time) error {
	text, err := os.ReadFile(configFile)
	if err != nil {
		return nil //nolint:nilerr // there is no proxy here, or another user's
	}
	c, uses := configOf(configFile, text, changed)
	if c == nil {
		// The admin address of the proxy that runs is unknown.
		return fmt.Errorf("the file was changed, but %s is not valid, so a running proxy does not apply the change (hint: etcd-tlsproxy check-config says what is wrong)", configFile)
	}
	if !uses {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, inForceTimeout)
	defer cancel()
	for {
		status, err := readStatus(ctx, c.Admin)
		switch {
		case status != nil && !status.Tried.Before(since.Truncate(time.Millisecond)):
			if status.OK || !slices.Contains(status.Old, config.Access.String()) {
				return nil
			}
			return fmt.Errorf("the file was changed, but the change is not in force: the running proxy could not apply its files:\n%s", status.Error)
		case err != nil && ctx.Err() == nil:
			return nil //nolint:nilerr // no proxy runs at the admin address
		}
		select {
		case <-ctx.Done():
			return errors.New("the file was changed, but the running proxy has not read it yet (hint: systemctl reload etcd-tlsproxy, and look at its log)")
		case <-time.After(inForcePoll):
		}
	}
}

// configOf returns the content of a configuration, or nil if it is not valid, and whether it
// names a htpasswd file.
func configOf(configFile string, text []byte, htpasswd string) (c *config.Config, uses bool) {
	_, c, _ = config.Decode(configFile, text)
	if c == nil {
		return nil, false
	}
	disk := files.NewReader(filepath.Dir(configFile))
	return c, slices.ContainsFunc(c.Auth.Htpasswd, func(name string) bool { return sameFile(disk.Path(name), htpasswd) })
}

// naming returns the rules and the surfaces that name a user. known is false if no
// configuration with the htpasswd file can be read.
func naming(configFile, htpasswd, user string) (places []string, known bool) {
	text, err := os.ReadFile(configFile)
	if err != nil {
		return nil, false
	}
	c, known := configOf(configFile, text, htpasswd)
	if !known {
		return nil, false
	}
	for _, prefix := range slices.Sorted(maps.Keys(c.ACLs)) {
		if rule := c.ACLs[prefix]; slices.Contains(rule.Read, user) || slices.Contains(rule.Write, user) {
			places = append(places, "acls."+strconv.Quote(prefix))
		}
	}
	for _, surface := range slices.Sorted(maps.Keys(c.Surfaces)) {
		if slices.Contains(c.Surfaces[surface], user) {
			places = append(places, "surfaces."+surface)
		}
	}
	return places, true
}

// sameFile reports whether two names are those of one file that exists.
func sameFile(one, other string) bool {
	a, err := os.Stat(one)
	if err != nil {
		return false
	}
	b, err := os.Stat(other)
	return err == nil && os.SameFile(a, b)
}

// readStatus returns the state of the configuration of the proxy at an admin address.
func readStatus(ctx context.Context, admin string) (*statuspage.Config, error) {
	url, err := localURL(admin)
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"/-/status.json", nil)
	if err != nil {
		return nil, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	var status struct{ Config statuspage.Config }
	if err := json.NewDecoder(resp.Body).Decode(&status); err != nil {
		return nil, err
	}
	return &status.Config, nil
}

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
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

// The actions of commands that change a file.
const (
	added   = "added"
	changed = "changed"
	removed = "removed"
)

// edited is the result of a command that changes a file.
type edited struct {
	File   string `json:"file"`
	User   string `json:"user"`
	Action string `json:"action"`
	Scheme string `json:"scheme,omitempty"`
	// NamedBy are the rules and surfaces that still name a user who was removed.
	NamedBy []string `json:"named_by,omitempty"`
}

func (e *edited) report(c *console.Console) error {
	return c.Print(e, func(w io.Writer) error {
		text := fmt.Sprintf("%s: user %q was %s", e.File, e.User, e.Action)
		if e.Scheme != "" {
			text += ", hashed with " + e.Scheme
		}
		if len(e.NamedBy) > 0 {
			text += "; still named by " + strings.Join(e.NamedBy, ", ") + ", which admit a client certificate with this name and a user of another htpasswd file: take the name out"
		}
		_, err := fmt.Fprintln(w, text)
		return err
	})
}

// change edits the file, reports it, and returns an error if the running proxy of a
// configuration does not apply it.
func (e *edited) change(ctx context.Context, c *console.Console, configFile string, create bool, edit func(*htpasswd.File) ([]byte, error)) error {
	if err := htpasswd.Update(e.File, create, edit); err != nil {
		return err
	}
	since := time.Now()
	return errors.Join(e.report(c), e.checkInForce(ctx, c, configFile, since))
}

// partly says what a change means while the table of the configuration is not valid: removed
// users and old passwords are refused all the same, but nobody new is admitted.
func (e *edited) partly() (text string, inForce bool) {
	switch e.Action {
	case removed:
		return "the password is refused", true
	case changed:
		return "the old password is refused, and the new one does not work yet", false
	}
	return "the password does not work yet", false
}

// notAtAll says what it means that a change is not in force.
func (e *edited) notAtAll() string {
	switch e.Action {
	case removed:
		return "the password still works"
	case changed:
		return "the old password still works, and the new one does not"
	}
	return "the password does not work yet"
}

// checkInForce waits until the running proxy of a configuration has begun to read its files
// after the given time, and returns an error if it has not applied its users. It only notes
// that no proxy was asked if there is no such configuration, if the configuration does not name
// the htpasswd file, or if no proxy runs: then nothing is in force yet, or elsewhere.
//
// A mistake in the table delays no removal. Then it is noted, and no error.
func (e *edited) checkInForce(ctx context.Context, console *console.Console, configFile string, since time.Time) error {
	unasked := func(why string) {
		console.NoteText("no running proxy was asked whether the change is in force: " + why)
	}
	text, err := os.ReadFile(configFile)
	if err != nil {
		unasked(err.Error() + " (hint: name the configuration of the proxy with --config)")
		return nil // there is no proxy here, or another user's
	}
	c, uses, err := configOf(configFile, text, e.File)
	if err != nil {
		// The admin address of the proxy that runs is unknown.
		state, _ := e.partly()
		return fmt.Errorf("the file was changed, but the running proxy cannot be asked about it, because the configuration has a mistake: "+
			"%w\nA proxy that uses this file acts within two seconds all the same: %s (hint: mend the mistake; the proxy's log and status page say what is in force)", err, state)
	}
	if !uses {
		unasked(configFile + " does not name " + e.File + " (hint: name the configuration of the proxy with --config)")
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, inForceTimeout)
	defer cancel()
	for {
		status, err := readStatus(ctx, c.Admin)
		switch {
		case status != nil && status.Tried.After(since.Truncate(time.Millisecond)):
			return e.judge(console, status)
		case err != nil && ctx.Err() == nil:
			unasked("none answers at its admin address: " + err.Error())
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("the running proxy has not read the file yet: %s (hint: systemctl reload etcd-tlsproxy, and look at its log)", e.notAtAll())
		case <-time.After(inForcePoll):
		}
	}
}

// judge returns an error unless the change is in force in the proxy with this status.
func (e *edited) judge(c *console.Console, status *statuspage.Config) error {
	state, inForce := e.partly()
	switch {
	case status.OK || !slices.Contains(status.Old, config.Access.String()):
		return nil
	case slices.Contains(status.Old, statuspage.RemovedUsers):
		state, inForce = e.notAtAll(), false
	}
	mistake := fmt.Sprintf("%s; the running proxy found a mistake in its files:\n%s\nUsers and rules come into force within two seconds after you mend it (hint: etcd-tlsproxy check-config says whether it is mended)", state, status.Error)
	if inForce {
		c.NoteText(mistake)
		return nil
	}
	return errors.New("the change is not in force: " + mistake)
}

// configOf returns the content of a configuration, or an error if it cannot be decoded, and
// whether it names a htpasswd file.
func configOf(configFile string, text []byte, htpasswd string) (c *config.Config, uses bool, err error) {
	_, c, err = config.Decode(configFile, text)
	if c == nil {
		return nil, false, err
	}
	disk := files.NewReader(filepath.Dir(configFile))
	return c, slices.ContainsFunc(c.Auth.Htpasswd, func(name string) bool { return sameFile(disk.Path(name), htpasswd) }), nil
}

// naming returns the rules and the surfaces that name a user. known is false if no
// configuration with the htpasswd file can be read.
func naming(configFile, htpasswd, user string) (places []string, known bool) {
	text, err := os.ReadFile(configFile)
	if err != nil {
		return nil, false
	}
	c, known, err := configOf(configFile, text, htpasswd)
	if err != nil || !known {
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

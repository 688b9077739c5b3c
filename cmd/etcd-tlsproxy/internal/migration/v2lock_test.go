package migration

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"etcd-tlsproxy/proxy/proxytest"
	"etcd-tlsproxy/proxy/v2v3/layout"
)

// auth changes etcd's users of the v2 API, as root if there is a password, and returns the status and the answer.
func (f *fleet) auth(method, path, password string, body any) (status int, answer string) {
	f.t.Helper()
	text, err := json.Marshal(body)
	if err != nil {
		f.t.Fatal(err)
	}
	r, err := http.NewRequestWithContext(f.t.Context(), method, f.url+"/v2/auth"+path, bytes.NewReader(text))
	if err != nil {
		f.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	if password != "" {
		r.SetBasicAuth("root", password)
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		f.t.Fatal(err)
	}
	defer resp.Body.Close()
	var b bytes.Buffer
	_, _ = b.ReadFrom(resp.Body)
	return resp.StatusCode, b.String()
}

// mustAuth changes etcd's users.
func (f *fleet) mustAuth(method, path, password string, body any) {
	f.t.Helper()
	if status, answer := f.auth(method, path, password, body); status > 201 {
		f.t.Fatalf("%s %s: got the status %d and %s", method, path, status, answer)
	}
}

// moveBack returns a move back of a fleet whose keys were moved.
func (f *fleet) moveBack() *moved {
	b := &Back{Rehearsal: f.sw.Rehearsal, Fleet: Fleet{Expect: len(f.proxies), MaxHold: 10 * time.Second}, settling: 50 * time.Millisecond}
	b.DataDir = ""
	return &moved{f, b, f.tree()}
}

// newReturned returns a fleet whose keys were moved there and back, a member, and the password of the lock that was undone.
func newReturned(t *testing.T) (*moved, *member, string) {
	t.Helper()
	f := newMoved(t, 1)
	password := f.description().V2Password
	if _, err := f.back.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	m, err := f.back.connect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return f, m, password
}

// TestUsersOfTheV2APIAreLeftAsTheyAre has an administrator who has enabled etcd's users, and lets root write only.
func TestUsersOfTheV2APIAreLeftAsTheyAre(t *testing.T) {
	t.Parallel()
	f := newFleet(t, 1)
	f.mustAuth("PUT", "/users/root", "", map[string]string{"user": "root", "password": "admins"})
	f.mustAuth("PUT", "/enable", "", nil)
	f.mustAuth("PUT", "/roles/guest", "admins", guestsMayNotWrite)
	if _, err := f.sw.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	m := f.moveBack()
	if password := m.description().V2Password; password != "" {
		t.Error("the tree has a password of a lock, want none")
	}
	if _, err := m.back.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "status 401") {
		t.Errorf("while the users are enabled: got %v, want that etcd refuses the writes", err)
	}
	f.mustAuth("DELETE", "/enable", "admins", nil)
	if _, err := m.again().Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	f.mustAuth("PUT", "/enable", "", nil)
	if _, answer := f.auth("GET", "/roles/guest", "admins", nil); strings.Contains(answer, `"write":["/*"]`) {
		t.Errorf("the role guest: got %s, want that it may not write", answer)
	}
}

// TestUsersThatArePreparedAreNotReplaced has a user root while etcd's users are not enabled.
func TestUsersThatArePreparedAreNotReplaced(t *testing.T) {
	t.Parallel()
	f := newFleet(t, 1)
	f.mustAuth("PUT", "/users/root", "", map[string]string{"user": "root", "password": "admins"})
	if _, err := f.sw.Run(t.Context()); !errors.Is(err, errPrepared) {
		t.Errorf("got %v, want %v", err, errPrepared)
	}
	f.mustAuth("PUT", "/enable", "", nil)
	f.mustAuth("PUT", "/roles/guest", "admins", guestsMayNotWrite)
	f.mustAuth("DELETE", "/enable", "admins", nil)
	f.mustAuth("DELETE", "/users/root", "", nil)
	if _, err := f.sw.Run(t.Context()); !errors.Is(err, errPrepared) {
		t.Errorf("with a role guest that may not write: got %v, want %v", err, errPrepared)
	}
	f.mustAuth("DELETE", "/roles/guest", "", nil)
	if _, err := f.sw.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// TestTheLockLeavesNothingBehind moves the keys there and back.
func TestTheLockLeavesNothingBehind(t *testing.T) {
	t.Parallel()
	f := newMoved(t, 1)
	if _, err := f.back.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"/users", "/roles"} {
		if _, answer := f.auth("GET", path, "", nil); strings.Contains(answer, `"user":"root"`) || strings.Contains(answer, mark) {
			t.Errorf("%s: got %s, want no user and no mark", path, answer)
		}
	}
}

// TestAV2APIThatAKilledCommandLeftUnlockedIsLocked kills a move back that has unlocked the v2 API.
func TestAV2APIThatAKilledCommandLeftUnlockedIsLocked(t *testing.T) {
	t.Parallel()
	f := newMoved(t, 1)
	unguarded := func() bool {
		t.Helper()
		open, err := Unguarded(t.Context(), f.client, "p", f.sw.Store.Endpoints)
		if err != nil {
			t.Fatal(err)
		}
		return open
	}
	if unguarded() {
		t.Error("after a switch the v2 API takes writes")
	}
	f.back.before = func(step string) error {
		if step == "copy" {
			return errKilled
		}
		return nil
	}
	if _, err := f.back.Run(t.Context()); !errors.Is(err, errKilled) {
		t.Fatal(err)
	}
	f.expireLock()
	f.live()
	if !unguarded() {
		t.Error("after a move back was killed: got that the v2 API is locked")
	}
	for range 2 { // it can be repeated
		if locked, err := f.back.Guard(t.Context()); err != nil || !locked || unguarded() {
			t.Errorf("got locked %t and %v, want the v2 API locked", locked, err)
		}
	}
	if status := f.v2write("PUT", "/forgotten", value("1")); status != http.StatusUnauthorized {
		t.Errorf("a write at the v2 API: got the status %d, want %d", status, http.StatusUnauthorized)
	}
	if _, err := f.again().Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	// A command that was stopped for long might lock it still.
	m, err := f.back.connect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := m.lock(t.Context(), f.description().V2Password, &losing{after: 100}); err != nil {
		t.Fatal(err)
	}
	if locked, err := f.back.Guard(t.Context()); err != nil || locked || unguarded() {
		t.Errorf("with the keys in the v2 API: got locked %t and %v, want it unlocked", locked, err)
	}
	if status := f.v2write("PUT", "/after", value("1")); status != http.StatusCreated {
		t.Errorf("a write at the v2 API, which has the keys: got the status %d, want %d", status, http.StatusCreated)
	}
}

// TestTheV2APIOfAnotherClusterIsNeitherLockedNorUnlocked gives the command that locks it the endpoint of another etcd that was
// started without a name: its ids are the same.
func TestTheV2APIOfAnotherClusterIsNeitherLockedNorUnlocked(t *testing.T) {
	t.Parallel()
	f := newMoved(t, 1)
	other := start(t, proxytest.Options{})
	elsewhere := f.back.Rehearsal
	elsewhere.Connection = other.Connection
	const want = "these are two clusters with the same id"
	if locked, err := elsewhere.Guard(t.Context()); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("while the tree has the keys: got locked %t and %v, want %q", locked, err, want)
	}
	if status := other.v2write(http.MethodPut, "/other", value("1")); status != http.StatusCreated {
		t.Errorf("a write at the other cluster: got the status %d, want that its v2 API is not locked", status)
	}
	meta := f.description()
	meta.State = layout.Unfinished
	f.put(string(layout.Keys("p").Meta()), string(meta.Encode()))
	if locked, err := elsewhere.Guard(t.Context()); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("while the v2 API has the keys: got locked %t and %v, want %q", locked, err, want)
	}
	// A member that is dead is not in the way.
	own := f.back.Rehearsal
	own.Connection.Endpoints = []string{"http://127.0.0.1:1", f.url}
	if locked, err := own.Guard(t.Context()); err != nil || locked {
		t.Errorf("with an endpoint that is dead: got locked %t and %v, want the v2 API unlocked", locked, err)
	}
	if status := f.v2write("PUT", "/after", value("1")); status != http.StatusCreated {
		t.Errorf("a write at the v2 API, which has the keys: got the status %d, want %d", status, http.StatusCreated)
	}
}

// TestALockWithoutEffectIsAnError has the last request of an earlier unlock come before the users are enabled.
func TestALockWithoutEffectIsAnError(t *testing.T) {
	t.Parallel()
	f, m, password := newReturned(t)
	late := func(look int) {
		if look == 3 { // before the users are enabled
			f.mustAuth("DELETE", "/users/root", "", nil)
		}
	}
	if err := m.lock(t.Context(), password, &losing{after: 100, looking: late}); !errors.Is(err, errWritable) {
		t.Errorf("without a user root: got %v, want %v", err, errWritable)
	}
	if status := f.v2write("PUT", "/after", value("1")); status != http.StatusCreated {
		t.Errorf("a write: got the status %d, want that the v2 API takes it", status)
	}
	if err := m.lock(t.Context(), password, &losing{after: 100}); err != nil {
		t.Errorf("a second attempt: got %v", err)
	}
	if status := f.v2write("PUT", "/after", value("2")); status != http.StatusUnauthorized {
		t.Errorf("a write after that: got the status %d, want %d", status, http.StatusUnauthorized)
	}
}

// TestALockThatEtcdExecutesLateIsNotInTheWay has etcd execute each request of a lock when the keys are in the v2 API again.
func TestALockThatEtcdExecutesLateIsNotInTheWay(t *testing.T) {
	t.Parallel()
	f, m, password := newReturned(t)
	k := &losing{after: 1000}
	for _, c := range lockChanges(password, false) {
		if err := m.change(t.Context(), c, http.StatusConflict, http.StatusUnauthorized); err != nil {
			t.Fatal(err)
		}
		if status := f.v2write("PUT", "/after", value("1")); status > 201 {
			t.Errorf("%s came late: a write at the v2 API gets the status %d, want that it is taken", c.path, status)
		}
		// The next lock takes it for its own.
		if err := m.lockable(t.Context(), password); err != nil {
			t.Errorf("%s came late: the next switch gets %v", c.path, err)
		}
		if err := m.lock(t.Context(), "another", k); err != nil {
			t.Errorf("%s came late: the next lock gets %v", c.path, err)
		}
		if status := f.v2write("PUT", "/after", value("1")); status != http.StatusUnauthorized {
			t.Errorf("%s came late: a write after the next lock gets the status %d, want %d", c.path, status, http.StatusUnauthorized)
		}
		if _, err := m.unlock(t.Context(), "another", k.still); err != nil {
			t.Errorf("%s came late: the next unlock gets %v", c.path, err)
		}
		f.unusedUsers(c.path + " came late, and the next lock was undone")
		// So does the command that unlocks.
		if err := m.change(t.Context(), c, http.StatusConflict, http.StatusUnauthorized); err != nil {
			t.Fatal(err)
		}
		if locked, err := f.back.Guard(t.Context()); err != nil || locked {
			t.Errorf("%s came late: got locked %t and %v, want the v2 API unlocked", c.path, locked, err)
		}
		f.unusedUsers(c.path + " came late, and the v2 API was unlocked")
	}
}

// unusedUsers makes sure that etcd has no users of the v2 API, and the role guest as it makes it.
func (f *fleet) unusedUsers(when string) {
	f.t.Helper()
	if status, answer := f.auth("GET", "/users/root", "", nil); status != http.StatusNotFound || strings.Contains(answer, mark) {
		f.t.Errorf("%s: the user root is %s, want none", when, answer)
	}
	if _, answer := f.auth("GET", "/roles/guest", "", nil); !strings.Contains(answer, `"read":["/*"],"write":["/*"]`) {
		f.t.Errorf("%s: the role guest is %s, want it as etcd makes it", when, answer)
	}
}

// TestAnUndoneLockLeavesNoUser has another command remove the mark of a lock that comes too late.
func TestAnUndoneLockLeavesNoUser(t *testing.T) {
	t.Parallel()
	f, m, password := newReturned(t)
	late := func(look int) {
		if look == 2 { // before the user root is made
			f.mustAuth("DELETE", "/roles/"+mark, "", nil)
		}
	}
	if err := m.lock(t.Context(), password, &losing{after: 2, looking: late}); !errors.Is(err, errLost) {
		t.Errorf("got %v, want %v", err, errLost)
	}
	f.unusedUsers("the lock was undone")
}

// TestAV2APIWhoseUsersWereDisabledIsLocked has users who decided at the switch who may write, and were disabled and removed
// since.
func TestAV2APIWhoseUsersWereDisabledIsLocked(t *testing.T) {
	t.Parallel()
	f := newFleet(t, 1)
	f.mustAuth("PUT", "/users/root", "", map[string]string{"user": "root", "password": "admins"})
	f.mustAuth("PUT", "/enable", "", nil)
	m := f.switched()
	if _, err := m.back.Guard(t.Context()); !errors.Is(err, errUsers) {
		t.Errorf("while the users are enabled: got %v, want %v", err, errUsers)
	}
	f.mustAuth("DELETE", "/enable", "admins", nil)
	if _, err := m.back.Guard(t.Context()); !errors.Is(err, errPrepared) {
		t.Errorf("with a user root that is left: got %v, want %v", err, errPrepared)
	}
	if password := m.description().V2Password; password != "" {
		t.Error("the tree has a password of a lock that was refused, want none")
	}
	f.mustAuth("DELETE", "/users/root", "", nil)
	if locked, err := m.back.Guard(t.Context()); err != nil || !locked {
		t.Errorf("without users: got locked %t and %v, want the v2 API locked", locked, err)
	}
	if status := m.v2write("PUT", "/forgotten", value("1")); status != http.StatusUnauthorized {
		t.Errorf("a write at the v2 API: got the status %d, want %d", status, http.StatusUnauthorized)
	}
	if _, err := m.back.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	f.unusedUsers("the keys were moved back")
}

// losing is a keeper whose lock is lost after some looks.
type losing struct {
	looks, after int
	has          bool // the tree has the keys
	looking      func(look int)
}

func (l *losing) still(context.Context) error {
	if l.looks++; l.looks > l.after {
		return errLost
	}
	if l.looking != nil {
		l.looking(l.looks)
	}
	return nil
}

func (l *losing) live(context.Context) (bool, error) { return l.has, nil }

// TestALockThatComesTooLateIsUndone loses the lock of the tree while the v2 API is being locked.
func TestALockThatComesTooLateIsUndone(t *testing.T) {
	t.Parallel()
	f, m, password := newReturned(t)
	const looks = 5 // before each of four changes, and after them
	for after := range looks {
		if err := m.lock(t.Context(), password, &losing{after: after}); !errors.Is(err, errLost) {
			t.Errorf("lost after %d looks: got %v, want %v", after, err, errLost)
		}
		if status := f.v2write("PUT", fmt.Sprint("/after", after), value("1")); status != http.StatusCreated {
			t.Errorf("lost after %d looks: a write gets the status %d, want that the v2 API takes it", after, status)
		}
		if enabled, marked, err := m.users(t.Context(), password); enabled || marked || err != nil {
			t.Errorf("lost after %d looks: got users enabled %t, the mark %t and %v, want all undone", after, enabled, marked, err)
		}
	}
	if err := m.lock(t.Context(), password, &losing{after: looks - 1, has: true}); !errors.Is(err, errLost) {
		t.Errorf("got %v, want %v", err, errLost)
	}
	if status := f.v2write("PUT", "/live", value("1")); status != http.StatusUnauthorized {
		t.Errorf("with the keys in the tree: a write gets the status %d, want that the v2 API is locked", status)
	}
}

package recovery

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/cluster"
	"etcd-tlsproxy/proxy/gate"
)

func TestAFolderThatAnEtcdHasLockedIsInUse(t *testing.T) {
	folder := t.TempDir()
	if inUse(folder) {
		t.Error("an empty folder: got in use")
	}
	snap := filepath.Join(folder, "member", "snap")
	if err := errors.Join(os.MkdirAll(snap, 0o700), os.WriteFile(filepath.Join(snap, "db"), nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	if inUse(folder) {
		t.Error("the folder of a member that is stopped: got in use")
	}
	db, err := os.Open(filepath.Join(snap, "db"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if err := syscall.Flock(int(db.Fd()), syscall.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	if !inUse(folder) {
		t.Error("the folder of a member that runs: got not in use")
	}
}

func TestARefusedReadOfTheKeysAsksForAUser(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusUnauthorized)
		_, _ = io.WriteString(w, gate.RefuseIdentity.Body)
	}))
	defer server.Close()
	m, err := newMemberReader(&cluster.Connection{Endpoints: []string{server.URL}, Timeout: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := m.readKeys(t.Context(), true); err == nil || !strings.Contains(err.Error(), "(hint: a rule restricts reads: give a user who may read all keys with --user") || strings.Contains(err.Error(), "--offline") {
		t.Errorf("reading keys that a rule protects: got %v, want the hint to give a user", err)
	}
}

package rpc

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"strings"
	"testing"

	"etcd-tlsproxy/proxy/proxytest"
)

// full is a file on a full disk.
type full struct{ err error }

func (f full) Write(p []byte) (int, error) { return len(p) / 2, f.err }

func TestASnapshotIsTheDatabaseWithItsChecksumOrAnError(t *testing.T) {
	link, e := newLink(t, startEtcd(t))
	c := newClient(t, "", "", e)
	put(t, c, "a", strings.Repeat("x", 1<<20))
	var file bytes.Buffer
	size, err := c.Snapshot(testContext(t), &file)
	if err != nil || size != int64(file.Len()) || size < 1<<20 {
		t.Fatalf("got %d bytes, the size %d and the error %v; want more than a megabyte", file.Len(), size, err)
	}
	database, sum := file.Bytes()[:size-sha256.Size], file.Bytes()[size-sha256.Size:]
	if want := sha256.Sum256(database); !bytes.Equal(sum, want[:]) {
		t.Errorf("got the checksum %x, want %x", sum, want)
	}
	// What is left of the stream would wait for its reader.
	disk := full{errors.New("the disk is full")}
	if size, err := c.Snapshot(unknown{testContext(t), make(chan struct{})}, disk); !errors.Is(err, disk.err) || size == 0 {
		t.Errorf("to a full disk: got the size %d and the error %v, want a part and %v", size, err, disk.err)
	}
	link.CutAfter(proxytest.FromEtcd, 100<<10)
	if _, err := c.Snapshot(testContext(t), &file); err == nil || !strings.HasPrefix(err.Error(), "receiving the snapshot: ") {
		t.Errorf("over a connection that is cut: got the error %v, want that it was being received", err)
	}
	link.Mend()
	protect(t, e)
	file.Reset()
	wrong := newClient(t, "root", "wrong", e)
	if _, err := wrong.Snapshot(unknown{testContext(t), make(chan struct{})}, &file); !Refused(err) || file.Len() > 0 {
		t.Errorf("with a wrong password: got %d bytes and the error %v, want a refusal", file.Len(), err)
	}
	if _, err := newClient(t, "root", "r", e).Snapshot(testContext(t), &file); err != nil || file.Len() < 1<<20 {
		t.Errorf("with the password: got %d bytes and the error %v, want a snapshot", file.Len(), err)
	}
}

package atomicfile

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
)

// oldFile creates a file with the content "old" in a folder of its own.
func oldFile(t *testing.T, mode fs.FileMode) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, []byte("old"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
	return path
}

// checkFile checks the content and the mode of a file, and that its folder holds
// nothing else: no temporary file may remain.
func checkFile(t *testing.T, path, content string, mode fs.FileMode) {
	t.Helper()
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != content {
		t.Errorf("content: got %q, want %q", got, content)
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode() != mode {
		t.Errorf("mode: got %v, want %v", info.Mode(), mode)
	}
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil {
		t.Fatal(err)
	}
	if len(entries) != 1 {
		t.Errorf("folder: got %v, want the file alone", entries)
	}
}

func owner(t *testing.T, path string) [2]uint32 {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	stat := info.Sys().(*syscall.Stat_t)
	return [2]uint32{stat.Uid, stat.Gid}
}

func requireRoot(t *testing.T, why string) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("only root " + why)
	}
}

func TestAnExistingFileKeepsItsMode(t *testing.T) {
	for _, mode := range []fs.FileMode{0o444, 0o600, 0o640, 0o664} {
		path := oldFile(t, mode)
		if err := Write(path, []byte("new"), 0o755); err != nil {
			t.Fatalf("Write over a file of mode %v: %v", mode, err)
		}
		checkFile(t, path, "new", mode)
	}
}

func TestAnExistingFileKeepsItsOwner(t *testing.T) {
	requireRoot(t, "can give files away")
	path := oldFile(t, 0o640)
	want := [2]uint32{1234, 4321}
	if err := os.Chown(path, int(want[0]), int(want[1])); err != nil {
		t.Fatal(err)
	}
	if err := Write(path, []byte("new"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := owner(t, path); got != want {
		t.Errorf("owner after Write: got %v, want %v", got, want)
	}
	checkFile(t, path, "new", 0o640)
}

func TestANewFileHasTheGivenMode(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	if err := Write(path, []byte("new"), 0o644); err != nil {
		t.Fatal(err)
	}
	checkFile(t, path, "new", 0o644)
}

func TestASecretIsReadableByItsWriterOnly(t *testing.T) {
	path := oldFile(t, 0o644)
	if os.Geteuid() == 0 {
		if err := os.Chown(path, 1234, 4321); err != nil {
			t.Fatal(err)
		}
	}
	err := WriteSecret(path, func(w io.Writer) error {
		_, err := io.WriteString(w, "secret")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	checkFile(t, path, "secret", 0o600)
	if got, want := owner(t, path)[0], uint32(os.Geteuid()); got != want {
		t.Errorf("owner after WriteSecret: got uid %d, want %d", got, want)
	}
}

// TestAnInterruptedWriteLeavesTheOldFile fails after part of the content is written.
func TestAnInterruptedWriteLeavesTheOldFile(t *testing.T) {
	path := oldFile(t, 0o644)
	broken := errors.New("the source failed")
	err := WriteSecret(path, func(w io.Writer) error {
		if _, err := io.WriteString(w, "half of it"); err != nil {
			t.Fatal(err)
		}
		return broken
	})
	if !errors.Is(err, broken) || !strings.Contains(err.Error(), "which is unchanged") {
		t.Errorf("got %v, want the error of the source and that the file is unchanged", err)
	}
	checkFile(t, path, "old", 0o644)
}

func TestAFullDiskLeavesTheOldFile(t *testing.T) {
	requireRoot(t, "may mount")
	disk := t.TempDir()
	if err := syscall.Mount("tmpfs", disk, "tmpfs", 0, "size=64k,mode=0700"); err != nil {
		t.Skipf("mounting a small disk: %v", err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(disk, syscall.MNT_DETACH) })
	path := filepath.Join(disk, "file")
	if err := os.WriteFile(path, []byte("old"), 0o640); err != nil {
		t.Fatal(err)
	}
	if err := Write(path, make([]byte, 1<<20), 0o600); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("Write to a full disk: got %v, want %v", err, syscall.ENOSPC)
	}
	checkFile(t, path, "old", 0o640)
}

// TestAFolderThatIsNotWritableIsReported uses a folder on /proc for root, whom modes
// do not stop.
func TestAFolderThatIsNotWritableIsReported(t *testing.T) {
	path := oldFile(t, 0o644)
	folder := filepath.Dir(path)
	if os.Geteuid() == 0 {
		folder = "/proc/self"
		path = filepath.Join(folder, "comm")
	} else {
		if err := os.Chmod(folder, 0o500); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = os.Chmod(folder, 0o700) })
	}
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	err = Write(path, []byte("new"), 0o600)
	if err == nil || !strings.Contains(err.Error(), "may write to "+folder) {
		t.Errorf("Write to %s: got %v, want an error that names the folder", path, err)
	}
	if after, err := os.ReadFile(path); err != nil || string(after) != string(before) {
		t.Errorf("content: got %q (%v), want %q", after, err, before)
	}
}

// TestReadersSeeOneContentOrTheOther reads while two contents take turns.
func TestReadersSeeOneContentOrTheOther(t *testing.T) {
	path := oldFile(t, 0o644)
	contents := []string{strings.Repeat("a", 100_000), strings.Repeat("b", 100_000)}
	if err := Write(path, []byte(contents[0]), 0o644); err != nil {
		t.Fatal(err)
	}
	stop := make(chan struct{})
	var reader sync.WaitGroup
	reader.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
			}
			got, err := os.ReadFile(path)
			if err != nil || string(got) != contents[0] && string(got) != contents[1] {
				t.Errorf("a reader got %d bytes and the error %v, want one of the two contents", len(got), err)
				return
			}
		}
	})
	for i := range 50 {
		if err := Write(path, []byte(contents[i%2]), 0o644); err != nil {
			t.Error(err)
			break
		}
	}
	close(stop)
	reader.Wait()
}

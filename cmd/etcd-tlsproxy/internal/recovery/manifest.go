package recovery

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

const (
	manifestFile = "manifest.json"
	// sumsFile is for sha256sum -c: a backup can be checked where this program is not.
	sumsFile = "SHA256SUMS"
	// madeBy tells our backups from all else, which rotation leaves alone.
	madeBy = "etcd-tlsproxy backup, format 1"
)

// Manifest says what a backup holds and what it was taken from.
type Manifest struct {
	MadeBy string    `json:"made_by"`
	Time   time.Time `json:"time"`
	// Source is the member that was copied, Copy what the tool made of it: it gives
	// the copy ids of its own, so that it can never join the cluster it came from.
	Source Source   `json:"source"`
	Copy   Identity `json:"copy"`
	// Index is X-Etcd-Index when the copy began: what was written up to it is there.
	Index uint64 `json:"index,omitempty"`
	Keys  *Keys  `json:"keys,omitempty"`
	// WithV3 tells whether the v3 store is there, too.
	WithV3 bool   `json:"with_v3"`
	Files  []File `json:"files"`
}

// Source is the member that was copied.
type Source struct {
	Identity
	Name    string `json:"name,omitempty"`
	Version string `json:"etcd_version,omitempty"`
}

// Keys sums up the visible keys. Those that expire, or are below a directory that
// does, are counted apart, and are not in the digest.
type Keys struct {
	Count    int    `json:"count"`
	Expiring int    `json:"expiring"`
	Digest   string `json:"digest"`
	// Compared is how many nodes of the copy were compared with the member's;
	// Verified tells that an etcd was started on the finished backup, too.
	Compared int  `json:"compared,omitempty"`
	Verified bool `json:"verified"`
}

// File is one of a backup.
type File struct {
	Path   string `json:"path"`
	Size   int64  `json:"size"`
	SHA256 string `json:"sha256"`
}

// Size is that of all files.
func (m *Manifest) Size() int64 {
	var size int64
	for _, f := range m.Files {
		size += f.Size
	}
	return size
}

// sum lists the files below folder/member with their digests. read is told how many
// bytes were read.
func sumFiles(folder string, read func(int64)) ([]File, error) {
	var files []File
	err := filepath.WalkDir(filepath.Join(folder, "member"), func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		if !entry.Type().IsRegular() {
			return fmt.Errorf("%s is no regular file", path)
		}
		size, digest, err := digestOf(path)
		if err != nil {
			return err
		}
		read(size)
		name, err := filepath.Rel(folder, path)
		files = append(files, File{filepath.ToSlash(name), size, digest})
		return err
	})
	return files, err
}

func digestOf(path string) (size int64, digest string, err error) {
	file, err := os.Open(path)
	if err != nil {
		return 0, "", err
	}
	defer file.Close()
	hash := sha256.New()
	if size, err = io.Copy(hash, file); err != nil {
		return 0, "", err
	}
	return size, hex.EncodeToString(hash.Sum(nil)), nil
}

// write puts the manifest and the checksums into a backup.
func (m *Manifest) write(folder string) error {
	text, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return err
	}
	text = append(text, '\n')
	var sums bytes.Buffer
	own := sha256.Sum256(text)
	fmt.Fprintf(&sums, "%x  %s\n", own, manifestFile)
	for _, f := range m.Files {
		fmt.Fprintf(&sums, "%s  %s\n", f.SHA256, f.Path)
	}
	if err := os.WriteFile(filepath.Join(folder, manifestFile), text, 0o600); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(folder, sumsFile), sums.Bytes(), 0o600)
}

// readManifest reads and checks a backup's manifest, not yet its files.
func readManifest(folder string) (*Manifest, error) {
	text, err := os.ReadFile(filepath.Join(folder, manifestFile))
	if err != nil {
		return nil, err
	}
	sums, err := os.ReadFile(filepath.Join(folder, sumsFile))
	if err != nil {
		return nil, fmt.Errorf("its checksums are gone: %w", err)
	}
	own := fmt.Sprintf("%x  %s", sha256.Sum256(text), manifestFile)
	if line, _, _ := strings.Cut(string(sums), "\n"); line != own {
		return nil, fmt.Errorf("%s is not the one that was written", manifestFile)
	}
	m := new(Manifest)
	if err := json.Unmarshal(text, m); err != nil {
		return nil, err
	}
	if m.MadeBy != madeBy {
		return nil, fmt.Errorf("%s was made by %q, not by %q", manifestFile, m.MadeBy, madeBy)
	}
	return m, nil
}

// Check reads a whole backup and compares it with its manifest: every file that was
// written must be there, unchanged, and no other, since etcd would read that, too.
func Check(folder string, read func(int64)) (*Manifest, error) {
	m, err := check(folder, read)
	if err != nil {
		return nil, fmt.Errorf("the backup %s is not whole: %w (hint: take an older one, or a surviving member's data folder)", folder, err)
	}
	return m, nil
}

func check(folder string, read func(int64)) (*Manifest, error) {
	m, err := readManifest(folder)
	if err != nil {
		return nil, err
	}
	files, err := sumFiles(folder, read)
	if err != nil {
		return nil, err
	}
	var wrong []error
	for _, want := range m.Files {
		i := slices.IndexFunc(files, func(f File) bool { return f.Path == want.Path })
		switch {
		case i < 0:
			wrong = append(wrong, fmt.Errorf("%s is missing", want.Path))
		case files[i].Size != want.Size:
			wrong = append(wrong, fmt.Errorf("%s has %d bytes, not %d", want.Path, files[i].Size, want.Size))
		case files[i].SHA256 != want.SHA256:
			wrong = append(wrong, fmt.Errorf("%s has changed", want.Path))
		}
	}
	for _, got := range files {
		if !slices.ContainsFunc(m.Files, func(f File) bool { return f.Path == got.Path }) {
			wrong = append(wrong, fmt.Errorf("%s was not written by the backup", got.Path))
		}
	}
	if err := errors.Join(wrong...); err != nil {
		return nil, err
	}
	if err := checkSums(folder, m); err != nil {
		return nil, err
	}
	identity, err := Identify(folder, "")
	if err == nil && identity != m.Copy {
		err = errors.New("its log is that of another copy")
	}
	return m, err
}

// checkSums compares the two lists of checksums: the printed commands use the one,
// this program the other.
func checkSums(folder string, m *Manifest) error {
	file, err := os.Open(filepath.Join(folder, sumsFile))
	if err != nil {
		return err
	}
	defer file.Close()
	lines := bufio.NewScanner(file)
	lines.Scan() // the manifest's own
	for _, f := range m.Files {
		if !lines.Scan() || lines.Text() != f.SHA256+"  "+f.Path {
			return fmt.Errorf("%s says otherwise than %s", sumsFile, manifestFile)
		}
	}
	return lines.Err()
}

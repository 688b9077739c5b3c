package recovery

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/dustin/go-humanize/english"

	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/etcdtool"
	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/memberhost"
)

const (
	manifestFile = "manifest.json"
	// sumsFile is for sha256sum -c, so that a backup can be checked without this program.
	sumsFile = "SHA256SUMS"
	// madeBy marks our backups. Rotation leaves everything else alone.
	madeBy = "etcd-tlsproxy backup, format 1"
)

// Manifest describes the contents and the source of a backup.
type Manifest struct {
	MadeBy string    `json:"made_by"`
	Time   time.Time `json:"time"`
	// Source is the member that was copied. Copy is the identity of the copy: the tool
	// gives it new ids, so that it can never join the cluster it came from.
	Source Source              `json:"source"`
	Copy   memberhost.Identity `json:"copy"`
	// Index is X-Etcd-Index at the start of the copy. All writes up to it are included.
	Index uint64 `json:"index,omitempty"`
	Keys  *Keys  `json:"keys,omitempty"`
	// WithV3 is true if keys of the v3 store are included.
	WithV3 bool `json:"with_v3"`
	// V3LeftOut says which keys of the v3 store are missing, if any.
	V3LeftOut string `json:"v3_left_out,omitempty"`
	// Tree is set if the backup is a snapshot of a v3 store that has a tree of the v2 API.
	Tree  *Tree  `json:"tree,omitempty"`
	Files []File `json:"files"`
}

// Source is the member that was copied.
type Source struct {
	memberhost.Identity
	Name    string `json:"name,omitempty"`
	Version string `json:"etcd_version,omitempty"`
}

// Keys summarizes the visible keys. Keys that expire, or are below a directory that
// does, are counted separately and are not part of the digest.
type Keys struct {
	Count    int    `json:"count"`
	Expiring int    `json:"expiring"`
	Digest   string `json:"digest"`
	// Compared is the number of nodes that were compared with the member's. Verified is
	// true if an etcd was also started on the finished backup.
	Compared int  `json:"compared,omitempty"`
	Verified bool `json:"verified"`
}

// File is a file of a backup.
type File struct {
	Path   string `json:"path"`
	Size   int64  `json:"size"`
	SHA256 string `json:"sha256"`
}

// Size returns the size of all files.
func (m *Manifest) Size() int64 {
	var size int64
	for _, f := range m.Files {
		size += f.Size
	}
	return size
}

// write writes the manifest and the checksums of a backup.
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

// readManifest reads and checks the manifest of a backup, but not its files.
func readManifest(folder string) (*Manifest, error) {
	text, err := os.ReadFile(filepath.Join(folder, manifestFile))
	if err != nil {
		return nil, err
	}
	sums, err := os.ReadFile(filepath.Join(folder, sumsFile))
	if err != nil {
		return nil, fmt.Errorf("the checksums are missing: %w", err)
	}
	own := fmt.Sprintf("%x  %s", sha256.Sum256(text), manifestFile)
	if line, _, _ := strings.Cut(string(sums), "\n"); line != own {
		return nil, fmt.Errorf("%s does not match its checksum", manifestFile)
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

// Check reads a whole backup and compares it with its manifest. Every file must be
// unchanged, and there must be no other file, because etcd would read that too.
func Check(folder string, read func(int64)) (*Manifest, error) {
	if _, err := os.Stat(folder); errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("the backup %s does not exist (hint: backup list --dir shows the backups in a folder)", folder)
	}
	if _, err := os.Stat(filepath.Join(folder, manifestFile)); errors.Is(err, os.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) {
		return nil, fmt.Errorf("%s is not a backup of this program: it has no %s (hint: backup list --dir shows the backups in a folder; recover also accepts the data folder of a member that survived)", folder, manifestFile)
	}
	m, err := check(folder, read)
	if err != nil {
		return nil, fmt.Errorf("the backup %s is damaged: %w (hint: use an older one, or the data folder of a member that survived)", folder, err)
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
			wrong = append(wrong, fmt.Errorf("%s has %d bytes instead of %d", want.Path, files[i].Size, want.Size))
		case files[i].SHA256 != want.SHA256:
			wrong = append(wrong, fmt.Errorf("%s has changed", want.Path))
		}
	}
	for _, got := range files {
		if !slices.ContainsFunc(m.Files, func(f File) bool { return f.Path == got.Path }) {
			wrong = append(wrong, fmt.Errorf("%s is not part of the backup", got.Path))
		}
	}
	if err := errors.Join(wrong...); err != nil {
		return nil, err
	}
	if err := checkSums(folder, m); err != nil {
		return nil, err
	}
	if m.Tree != nil {
		return m, nil // the snapshot has its own checksum as well
	}
	identity, err := memberhost.Identify(folder, "")
	if err == nil && identity != m.Copy {
		err = errors.New("its log belongs to another copy")
	}
	return m, err
}

// Tools are what a verification needs. Programs that are "" are those in PATH.
type Tools struct {
	Etcd string
	// Restorer is etcdutl, or etcdctl before etcd 3.6, for the snapshot of a v3 store.
	Restorer string
	// User and Password are those of a user of etcd who may do everything, if its authentication is enabled
	// in the snapshot.
	User, Password string
}

// Verified is what a verification has found out about a backup.
type Verified struct {
	Manifest *Manifest `json:"manifest"`
	// Found summarizes the keys of an etcd that was started on a copy. Compared is true if
	// they are those that were counted when the backup was made.
	Found    *Keys `json:"keys_found,omitempty"`
	Compared bool  `json:"keys_compared"`
	// Unknown says what was not checked, and why.
	Unknown []string `json:"unknown"`
}

// Verify checks a backup like [Check], starts an etcd on a copy of it, and compares the keys
// with the manifest. The copy is made in a temporary folder. The tool restores the snapshot of a v3 store.
func Verify(ctx context.Context, with Tools, folder string, read func(int64)) (*Verified, error) {
	m, err := Check(folder, read)
	if err != nil {
		return nil, err
	}
	if m.Tree != nil {
		return m.verifySnapshot(ctx, with, folder)
	}
	etcd, err := etcdtool.FindEtcd(with.Etcd)
	if err != nil {
		return nil, err
	}
	scratch, err := os.MkdirTemp("", "etcd-tlsproxy-verify-")
	if err != nil {
		return nil, fmt.Errorf("copying the backup: %w", err)
	}
	copied, err := verifyCopy(ctx, etcd, folder, scratch)
	if err != nil {
		return nil, fmt.Errorf("starting an etcd on a copy of %s: %w", folder, err)
	}
	// Keys that expire may be gone by now, and are not part of the digest.
	got := copied.keys()
	v := &Verified{Manifest: m, Found: got, Compared: m.Keys != nil && m.Keys.Digest != "", Unknown: []string{}}
	if !v.Compared {
		v.Unknown = append(v.Unknown, "whether these are all keys: they were not counted when the backup was made")
	}
	if m.WithV3 {
		v.Unknown = append(v.Unknown, "whether all keys of the v3 store are in it: they are not counted")
	}
	if v.Compared && got.Digest != m.Keys.Digest {
		return nil, fmt.Errorf("the backup %s is damaged: an etcd that was started on a copy has %s with the digest %s, and the manifest has %d with %s (hint: use an older one)", folder, english.Plural(got.Count, "key", ""), got.Digest, m.Keys.Count, m.Keys.Digest)
	}
	return v, nil
}

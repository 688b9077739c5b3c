package check

import (
	"maps"
	"path"
	"slices"
	"sync"
)

// postsFolder is above the folders with posts.
const postsFolder = "/soak/posts"

// InOrderKeys are the keys that etcd creates for POSTs. Every value is sent once, so a
// doubled write shows as two keys with the same value, and a lost one as no key.
type InOrderKeys struct {
	findings *Findings
	content  Content

	mu    sync.Mutex
	posts map[string]map[string]post // by folder and value
	// late holds values of unknown outcome whose folder was checked and removed. etcd may
	// still carry them out.
	late map[string]bool
}

// post is a value that was sent.
type post struct {
	fate Fate
	key  string // if it was acknowledged
}

// Fate is how often a value may be in etcd.
type Fate int

const (
	Once  Fate = iota // it was acknowledged: exactly once
	Maybe             // its outcome is unknown: at most once
	Never             // it was not sent, or not as a whole
)

// NewInOrderKeys returns a record without posts.
func NewInOrderKeys(findings *Findings, content Content) *InOrderKeys {
	return &InOrderKeys{findings: findings, content: content, posts: make(map[string]map[string]post), late: make(map[string]bool)}
}

// Record records the fate of a value, and its key if it was acknowledged.
func (p *InOrderKeys) Record(folder, value string, fate Fate, key string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.posts[folder] == nil {
		p.posts[folder] = make(map[string]post)
	}
	p.posts[folder][value] = post{fate, key}
}

// Forget drops a folder that was checked and removed from etcd.
func (p *InOrderKeys) Forget(folder string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for value, post := range p.posts[folder] {
		if post.fate == Maybe {
			p.late[value] = true
		}
	}
	delete(p.posts, folder)
}

// Check compares a folder in etcd with what was recorded.
func (p *InOrderKeys) Check(who, folder string) error {
	values, err := p.content.Values(folder)
	if err != nil {
		return err
	}
	found := make(map[string][]string)
	for _, key := range slices.Sorted(maps.Keys(values)) {
		found[values[key]] = append(found[values[key]], key)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for value, post := range p.posts[folder] {
		keys := found[value]
		switch {
		case post.fate == Once && len(keys) == 0:
			p.findings.LostWrite(who, "%s was acknowledged as %s, but does not exist", value, post.key)
		case len(keys) > 1:
			p.findings.DoubledWrite(who, "%s exists as %v", value, keys)
		case post.fate == Once && keys[0] != post.key:
			p.findings.Mismatch(who, "%s was acknowledged as %s, but exists as %s", value, post.key, keys[0])
		case post.fate == Never && len(keys) > 0:
			p.findings.GhostWrite(who, "%s exists as %v, but was never sent completely", value, keys)
		}
		delete(found, value)
	}
	for value, keys := range found {
		if !p.late[value] || len(keys) > 1 {
			p.findings.GhostWrite(who, "%v contain %s, which was in a folder that was removed, or was never sent", keys, value)
		}
	}
	return nil
}

// CheckAll checks every folder, in etcd or recorded.
func (p *InOrderKeys) CheckAll() error {
	values, err := p.content.Values(postsFolder)
	if err != nil {
		return err
	}
	folders := make(map[string]bool)
	for key := range values {
		folders[path.Dir(key)] = true
	}
	p.mu.Lock()
	for folder := range p.posts {
		folders[folder] = true
	}
	p.mu.Unlock()
	for folder := range folders {
		if err := p.Check("end", folder); err != nil {
			return err
		}
	}
	return nil
}

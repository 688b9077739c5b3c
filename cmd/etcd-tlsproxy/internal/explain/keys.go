package explain

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	client "go.etcd.io/etcd/client/v2"

	"etcd-tlsproxy/acl"
)

// keySet collects keys without duplicates, together with their parents, which must exist.
type keySet struct {
	seen   map[acl.Key]struct{}
	unread []string
}

func newKeySet() *keySet { return &keySet{seen: map[acl.Key]struct{}{acl.Root: {}}} }

func (s *keySet) add(text string) {
	if len(text) > 1 {
		text = strings.TrimSuffix(text, "/")
	}
	key, err := acl.NewKey(text)
	if err != nil || key.Depth() > acl.MaxDepth {
		s.unread = append(s.unread, text)
		return
	}
	for key != acl.Root {
		if _, known := s.seen[key]; known {
			return
		}
		s.seen[key] = struct{}{}
		key = key[:max(1, strings.LastIndexByte(string(key), '/'))]
	}
}

// sorted returns the keys in order, and the texts that are not valid keys for the proxy.
func (s *keySet) sorted() (keys []acl.Key, unread []string) {
	keys = make([]acl.Key, 0, len(s.seen))
	for key := range s.seen {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	slices.Sort(s.unread)
	return keys, slices.Compact(s.unread)
}

// maxLine is longer than any key that a request can name.
const maxLine = 1 << 20

// ReadKeys reads keys, one in each line, in the form that etcdctl ls prints.
func ReadKeys(r io.Reader, name string) (keys []acl.Key, unread []string, err error) {
	set := newKeySet()
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, maxLine)
	number := 0
	for lines.Scan() {
		number++
		switch line := lines.Text(); {
		case line == "":
		case line[0] != '/':
			return nil, nil, fmt.Errorf("reading keys: %s:%d: the line does not begin with a slash (hint: each line must be a key, as printed by etcdctl ls --recursive)", name, number)
		default:
			set.add(line)
		}
	}
	if err := lines.Err(); err != nil {
		return nil, nil, fmt.Errorf("reading keys: %s:%d: %w", name, number+1, err)
	}
	keys, unread = set.sorted()
	return keys, unread, nil
}

// FetchKeys lists all keys of etcd except hidden ones, whose names begin with _. The error is
// that of the client.
func FetchKeys(ctx context.Context, c client.Client) (keys []acl.Key, unread []string, err error) {
	resp, err := client.NewKeysAPI(c).Get(ctx, "/", &client.GetOptions{Recursive: true})
	if err != nil {
		return nil, nil, err
	}
	set := newKeySet()
	var walk func(*client.Node)
	walk = func(node *client.Node) {
		if node.Key != "" {
			set.add(node.Key)
		}
		for _, child := range node.Nodes {
			walk(child)
		}
	}
	walk(resp.Node)
	keys, unread = set.sorted()
	return keys, unread, nil
}

// ListingHint says what to change if FetchKeys failed.
func ListingHint(err error) string {
	if refusal, ok := errors.AsType[client.Error](err); ok && refusal.Code == client.ErrorCodeUnauthorized {
		return "give --username and --password-file of a user who may read all keys"
	}
	return "--endpoints must be client URLs of etcd or of its proxies"
}

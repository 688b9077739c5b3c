package explain

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	client "go.etcd.io/etcd/client/v2"

	"etcd-tlsproxy/acl"
)

// keySet gathers keys: each once, with the folders above it, which exist if it does.
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
	if err != nil {
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

// sorted are the keys in order, and what is no key by the proxy's reading.
func (s *keySet) sorted() (keys []acl.Key, unread []string) {
	keys = make([]acl.Key, 0, len(s.seen))
	for key := range s.seen {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	slices.Sort(s.unread)
	return keys, slices.Compact(s.unread)
}

// maxLine is more than any request can name.
const maxLine = 1 << 20

// ReadKeys reads keys, a line each, as etcdctl ls prints them.
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
			return nil, nil, fmt.Errorf("reading keys: %s:%d: it does not begin with a slash (hint: a line is a key, as etcdctl ls --recursive prints it)", name, number)
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

// FetchKeys lists all keys that etcd tells of: hidden ones, whose names begin with _,
// are not among them.
func FetchKeys(ctx context.Context, c client.Client) (keys []acl.Key, unread []string, err error) {
	resp, err := client.NewKeysAPI(c).Get(ctx, "/", &client.GetOptions{Recursive: true})
	if err != nil {
		return nil, nil, fmt.Errorf("listing the keys: %w (hint: --endpoints names etcd; --keys reads the keys from a file instead)", err)
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

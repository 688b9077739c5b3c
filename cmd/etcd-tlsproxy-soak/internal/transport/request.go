// Package transport sends requests to the proxy in the ways that real clients do, and
// returns their answers.
//
// HTTP1 writes HTTP/1.0 and 1.1 byte by byte, Client is Go's own HTTP client, and Curl runs
// curl. None of them sends a request twice, so a lost request is detected.
package transport

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
)

// Timeout is how long an answer may take. The proxy waits for etcd for 15 to 17 s.
const Timeout = 40 * time.Second

// Passwords holds the users. root may write everywhere, worker below /soak, and guest is
// removed and added again during a run.
var Passwords = map[string]string{"root": "root-soak", "worker": "worker-soak", "guest": "guest-soak"}

// Request is what a client sends.
type Request struct {
	Method string
	Target string // is below /v2/keys if it begins with /soak
	User   string // "" sends no password
	Secret string // replaces the user's password
	Form   string
	// Local is set if the proxy has to answer without etcd, so that an outage of etcd
	// excuses nothing.
	Local bool
}

// Path returns the target as it is sent.
func (r *Request) Path() string {
	if strings.HasPrefix(r.Target, "/soak") {
		return "/v2/keys" + r.Target
	}
	return r.Target
}

// Writes reports whether the request changes something.
func (r *Request) Writes() bool { return r.Method != "GET" && r.Method != "HEAD" }

// Password returns the password that is sent.
func (r *Request) Password() string {
	if r.Secret != "" {
		return r.Secret
	}
	return Passwords[r.User]
}

func (r *Request) String() string { return r.Method + " " + r.Path() }

// Answer is the answer to a request.
type Answer struct {
	Status int
	// EtcdIndex is the value of X-Etcd-Index.
	EtcdIndex uint64
	Body      string
	Event     // is decoded from Body by the caller
}

// Event is the content of etcd's answers, errors included.
type Event struct {
	ErrorCode int
	Cause     string
	Index     uint64
	Action    string
	Node      *Node
	PrevNode  *Node
}

// Node is a key of etcd, or a folder of them.
type Node struct {
	Key, Value    string
	Dir           bool
	Nodes         []*Node
	ModifiedIndex uint64
}

// Values returns the values of all keys below the folder that was read, by key.
func (a *Answer) Values() (map[string]string, error) {
	if err := json.Unmarshal([]byte(a.Body), &a.Event); err != nil {
		return nil, fmt.Errorf("decoding an answer: %w", err)
	}
	return a.Node.Values(), nil
}

// Values returns the values of all keys below a folder, by key. There are none below nil.
func (n *Node) Values() map[string]string {
	values := make(map[string]string)
	n.collect(values)
	return values
}

func (n *Node) collect(values map[string]string) {
	switch {
	case n == nil:
	case !n.Dir:
		values[n.Key] = n.Value
	default:
		for _, below := range n.Nodes {
			below.collect(values)
		}
	}
}

// ErrBrokenOff reports an answer whose head has arrived, and whose body did not end as
// its framing says.
var ErrBrokenOff = errors.New("the answer was broken off")

// Transport sends a request and reads the whole answer.
type Transport interface {
	Do(ctx context.Context, r *Request) (*Answer, error)
	Close()
}

package proxy_test

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"unicode/utf8"

	"etcd-tlsproxy/proxy/proxytest/fronttest"
)

// recorder is a stand-in for etcd that does not trust the proxy. It reads requests with a
// grammar of its own, which has one spelling for everything, and makes its own decision
// about the rights of the attack's client.
type recorder struct {
	url string

	mu     sync.Mutex
	text   string // the attack
	seen   []string
	canary int
	wrong  []string
}

func newRecorder(t *testing.T) *recorder {
	r := &recorder{}
	r.url = fronttest.StandInConns(t, r.serve)
	return r
}

// start records the requests that belong to the attack text.
func (r *recorder) start(text string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.text, r.seen, r.canary, r.wrong = text, nil, 0, nil
}

// stop returns what is wrong with the requests that were received since start. The gate
// should have let as many pass as passes says.
func (r *recorder) stop(passes int) []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.canary > 1 {
		r.wrong = append(r.wrong, "etcd received the canary more than once")
	}
	if len(r.seen) != passes {
		r.wrong = append(r.wrong, fmt.Sprintf("etcd received %d requests, want %d: %q", len(r.seen), passes, r.seen))
	}
	return r.wrong
}

func (r *recorder) serve(c net.Conn) {
	in := bufio.NewReaderSize(c, 256<<10)
	for {
		method, target, err := r.read(in)
		if err != nil {
			if !errors.Is(err, io.EOF) && !errors.Is(err, net.ErrClosed) {
				r.addError(err)
			}
			return
		}
		if _, query, _ := strings.Cut(target, "?"); method == http.MethodGet && strings.Contains(query, "wait=") {
			_, _ = in.ReadByte() // until the proxy closes the connection
			return
		}
		body := "{}"
		if method == http.MethodHead {
			body = ""
		}
		if _, err := io.WriteString(c, "HTTP/1.1 200 OK\r\nX-Etcd-Index: 7\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n"+body); err != nil {
			return
		}
	}
}

func (r *recorder) addError(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.wrong = append(r.wrong, "etcd received "+err.Error())
}

var (
	strictLine  = regexp.MustCompile(`^(GET|HEAD|PUT|POST|DELETE) (/[^\x00- #\x7f]*) HTTP/1\.1\r\n$`)
	strictField = regexp.MustCompile(`^(Host|User-Agent|Accept|Accept-Encoding|Content-Type|Content-Length|X-Forwarded-For|X-Real-IP): ([^\x00- \x7f](?:[^\x00-\x08\n-\x1f\x7f]*[^\x00- \x7f])?)\r\n$`)
)

func (r *recorder) read(in *bufio.Reader) (method, target string, err error) {
	line, err := in.ReadString('\n')
	if err != nil {
		if line != "" {
			return "", "", fmt.Errorf("half a line: %q", line)
		}
		return "", "", io.EOF // also if the proxy has reset the connection
	}
	m := strictLine.FindStringSubmatch(line)
	if m == nil {
		return "", "", fmt.Errorf("the line %q", line)
	}
	fields := map[string]string{}
	for {
		if line, err = in.ReadString('\n'); err != nil {
			return "", "", fmt.Errorf("half a head: %q", line)
		}
		if line == "\r\n" {
			break
		}
		f := strictField.FindStringSubmatch(line)
		if f == nil || fields[f[1]] != "" {
			return "", "", fmt.Errorf("the field %q", line)
		}
		fields[f[1]] = f[2]
	}
	if fields["Host"] != "etcd" {
		return "", "", fmt.Errorf("the host %q", fields["Host"])
	}
	length := 0
	if text, ok := fields["Content-Length"]; ok {
		if length, err = strconv.Atoi(text); err != nil || strconv.Itoa(length) != text || m[1] != "PUT" && m[1] != "POST" {
			return "", "", fmt.Errorf("the length %q for %s", text, m[1])
		}
	}
	if _, err := io.CopyN(io.Discard, in, int64(length)); err != nil {
		return "", "", fmt.Errorf("half a body of %d bytes", length)
	}
	if in.Buffered() > 0 {
		return "", "", errors.New("more before the answer")
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if m[2] == canaryKey {
		r.canary++
		return m[1], m[2], nil
	}
	r.seen = append(r.seen, m[1]+" "+m[2])
	if complaint := r.judge(m[1], m[2]); complaint != "" {
		r.wrong = append(r.wrong, fmt.Sprintf("etcd received %s %s: %s", m[1], m[2], complaint))
	}
	return m[1], m[2], nil
}

var (
	strictReserved = regexp.MustCompile(`/0/members/[[:xdigit:]]{1,16}/attributes`)
	openPaths      = []string{"/v2/members", "/v2/machines", "/v2/stats/self", "/v2/stats/store", "/v2/stats/leader", "/version", "/health", "/metrics"}
)

// judge returns the reason why a request must not reach etcd, or an empty string. The
// caller holds r.mu.
func (r *recorder) judge(method, target string) string {
	if strings.Contains(target, "smuggled") {
		return "it was hidden in another request"
	}
	path, _, _ := strings.Cut(target, "?")
	var segments []string
	for segment := range strings.SplitSeq(path[1:], "/") {
		decoded, err := url.PathUnescape(segment)
		if err != nil || decoded == "" || decoded == "." || decoded == ".." || !utf8.ValidString(decoded) ||
			strings.ContainsFunc(decoded, func(c rune) bool { return c < ' ' || c == 0x7f || c == '/' || c == '\\' }) {
			return fmt.Sprintf("its path has the segment %q", segment)
		}
		segments = append(segments, decoded)
	}
	write := method != http.MethodGet && method != http.MethodHead
	if len(segments) < 2 || segments[0] != "v2" || segments[1] != "keys" {
		if write || !slices.Contains(openPaths, path) {
			return "its path is closed"
		}
		return ""
	}
	if !write {
		return ""
	}
	key := segments[2:]
	if strictReserved.MatchString("/" + strings.Join(key, "/")) {
		return "the key is reserved"
	}
	if len(key) > 0 && (key[0] == "eventlogging" || key[0] == "conftool" && strings.Contains(r.text, by("conftool"))) {
		return ""
	}
	return "its client has no right to it"
}

// raftIndex returns the Raft index of an etcd. It grows with each entry of etcd's log,
// whichever API wrote it.
func raftIndex(t *testing.T, e fronttest.Etcd) string {
	t.Helper()
	resp, err := http.Get(e.URL() + "/v2/keys/nothing")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	return "raft index " + resp.Header.Get("X-Raft-Index") + "\n"
}

// foreignState returns the state that only root may change: everything except
// /eventlogging and except /conftool, to which attacks with conftool's password may write.
func foreignState(t *testing.T, e fronttest.Etcd) string {
	t.Helper()
	var state strings.Builder
	for line := range strings.Lines(dump(t, e)) {
		path, rest, _ := strings.Cut(line, " ")
		_, rest, _ = strings.Cut(rest, " ") // the status
		_, body, _ := strings.Cut(rest, " ")
		if !strings.HasPrefix(path, "/v2/keys") {
			state.WriteString(body)
			continue
		}
		var all struct {
			Node struct{ Nodes []map[string]any }
		}
		if err := json.Unmarshal([]byte(body), &all); err != nil {
			t.Fatalf("decoding the dump of etcd: %v in %q", err, line)
		}
		for _, node := range all.Node.Nodes {
			if key := node["key"]; key != "/eventlogging" && key != "/conftool" {
				fmt.Fprintf(&state, "%v\n", node)
			}
		}
	}
	return state.String()
}

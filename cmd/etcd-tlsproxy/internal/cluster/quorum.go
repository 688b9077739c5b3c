package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
)

// QuorumProbe finds out whether members have a quorum.
type QuorumProbe struct {
	http           http.Client
	user, password string
}

// NewQuorumProbe returns a probe that connects as c says. The endpoints of c do not matter.
func NewQuorumProbe(c *Connection) (*QuorumProbe, error) {
	transport, err := c.Transport()
	if err != nil {
		return nil, err
	}
	password, err := c.password()
	if err != nil {
		return nil, err
	}
	return &QuorumProbe{http.Client{Transport: transport, Timeout: c.Timeout}, c.User, password}, nil
}

// Close closes the connections of the probe.
func (p *QuorumProbe) Close() { p.http.CloseIdleConnections() }

var (
	// ErrRefused is the error for a member that refuses to answer this user.
	ErrRefused = errors.New("it refuses a read")
	// ErrNoAnswer is the error for a member that does not answer.
	ErrNoAnswer = errors.New("there is no answer to a read")
)

const (
	healthPath = "/health"
	// v3Path reads a key with a quorum.
	v3Path = "/v3/kv/range"
)

// Ask reports whether an etcd, or a proxy in front of it, answers with a quorum. It returns
// an error if the response does not settle that. A bad health alone does not: an alarm
// about disk space is one, too. It settles it with a reason, which etcd 3.5 gives, and
// otherwise a read of all members decides. An etcd without the v2 API is asked by the v3 API.
func (p *QuorumProbe) Ask(ctx context.Context, url string) (bool, error) {
	answered, askV3 := false, false
	for _, path := range []string{healthPath, "/v2/keys/?quorum=true", v3Path} {
		if path == v3Path && !askV3 {
			break
		}
		response, err := p.get(ctx, url, path)
		if err != nil {
			// If the dial fails nothing listens; if the handshake fails something does.
			var dial *net.OpError
			if isTimeout(err) || errors.As(err, &dial) && dial.Op == "dial" || errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET) {
				continue
			}
			return false, fmt.Errorf("%w (hint: --ca-file, --cert-file and --key-file are for https)", err)
		}
		body, err := io.ReadAll(io.LimitReader(response.Body, 1<<20))
		_ = response.Body.Close()
		if err != nil && !isTimeout(err) {
			return false, err
		}
		switch {
		case path == healthPath:
			healthy, settled, unhealthy := readHealth(body)
			if settled {
				return healthy, nil
			}
			answered = unhealthy
		case path == v3Path:
			// etcd checks who asks after it has found a quorum.
			return response.StatusCode < http.StatusInternalServerError, nil
		case response.StatusCode == http.StatusNotFound && string(body) == noV2:
			answered, askV3 = true, true
		case response.StatusCode == http.StatusUnauthorized || response.StatusCode == http.StatusForbidden:
			return false, fmt.Errorf("%w with status %d, so it is unknown whether it has a quorum (hint: %s)", ErrRefused, response.StatusCode, p.refusedHint())
		case response.StatusCode == http.StatusOK:
			return true, nil
		default:
			return false, nil
		}
	}
	if !answered {
		return false, ErrNoAnswer
	}
	return false, nil
}

// readHealth reads the body of /health. It is settled if it proves that there is a quorum,
// or that there is none.
func readHealth(body []byte) (healthy, settled, unhealthy bool) {
	var health struct{ Health, Reason string }
	if json.Unmarshal(body, &health) != nil {
		return false, false, false
	}
	healthy, unhealthy = health.Health == "true", health.Health == "false"
	noQuorum := strings.HasPrefix(health.Reason, "RAFT") || strings.HasPrefix(health.Reason, "QGET")
	return healthy, healthy || unhealthy && noQuorum, unhealthy
}

// get sends the user's password only where nobody can read it on the way.
func (p *QuorumProbe) get(ctx context.Context, base, path string) (*http.Response, error) {
	method, body := http.MethodGet, io.Reader(http.NoBody)
	if path == v3Path {
		method, body = http.MethodPost, strings.NewReader(`{"key":"AA=="}`)
	}
	request, err := http.NewRequestWithContext(ctx, method, base+path, body)
	if err != nil {
		return nil, err
	}
	if p.user != "" && path != healthPath && path != v3Path && (request.URL.Scheme == "https" || loopback(request.URL.Hostname())) {
		request.SetBasicAuth(p.user, p.password)
	}
	return p.http.Do(request)
}

func (p *QuorumProbe) refusedHint() string {
	if p.user == "" {
		return "a rule of the proxy restricts reads: give a user who may read / with --user and --password-file, or etcd's own URL in --members"
	}
	return "the user of --user may not read /, or has another password: give one who may, or etcd's own URL in --members"
}

func isTimeout(err error) bool {
	var e net.Error
	return errors.As(err, &e) && e.Timeout()
}

package cluster

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
	"unicode"

	client "go.etcd.io/etcd/client/v2"
)

// Members returns the members of the cluster according to the first endpoint that answers.
func (c *Connection) Members(ctx context.Context) ([]client.Member, error) {
	etcd, err := c.Client()
	if err != nil {
		return nil, err
	}
	ctx, cancel := c.Context(ctx)
	defer cancel()
	members, err := client.NewMembersAPI(etcd).List(ctx)
	if err != nil {
		return nil, fmt.Errorf("listing the members: %w%s", OneLine(err), c.hint(err))
	}
	if len(members) == 0 {
		return nil, errors.New("listing the members: the response names no member")
	}
	return members, nil
}

// Leader returns the id of the leader.
func (c *Connection) Leader(ctx context.Context) (id string, err error) {
	etcd, err := c.Client()
	if err != nil {
		return "", err
	}
	ctx, cancel := c.Context(ctx)
	defer cancel()
	leader, err := client.NewMembersAPI(etcd).Leader(ctx)
	if err != nil {
		return "", OneLine(err)
	}
	return leader.ID, nil
}

// memberClient sends requests to single members. The library tries all endpoints for one
// response, and it does not expose headers, certificates and the reasons of refusals.
type memberClient struct {
	http           *http.Client
	timeout        time.Duration
	user, password string
	endpoints      []string
	openReads      bool // whether everyone can read keys
	// id is sent with each request. Logs contain it, and a proxy repeats it in its answer.
	id string
}

func (c *Connection) memberClient() (*memberClient, error) {
	transport, password, err := c.load()
	if err != nil {
		return nil, err
	}
	return &memberClient{
		http: &http.Client{
			Transport: transport,
			// A redirect would report on another member.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
		timeout: c.Timeout, user: c.User, password: password, endpoints: c.Endpoints,
		id: "etcd-tlsproxy-" + rand.Text(),
	}, nil
}

func (mc *memberClient) close() { mc.http.CloseIdleConnections() }

// response is what a member answered.
type response struct {
	status      int
	header      http.Header
	body        []byte
	certificate *x509.Certificate // the server's, over TLS
	proxied     bool              // a proxy answered, or passed the answer on
	last        bool              // of its connection
}

// maxResponse bounds the body of a response. The list of members of any cluster is
// smaller.
const maxResponse = 1 << 20

// get sends a request to an advertised URL. The operator did not write that URL, so the
// user's password is not sent.
func (mc *memberClient) get(ctx context.Context, method, base, path string) (*response, error) {
	return mc.do(ctx, method, base, path, nil, false)
}

// write sends a change to an endpoint that the operator wrote.
func (mc *memberClient) write(ctx context.Context, method, base, path string, body any) (*response, error) {
	var text []byte
	if body != nil {
		var err error
		if text, err = json.Marshal(body); err != nil {
			panic("BUG: a request cannot be encoded: " + err.Error())
		}
	}
	return mc.do(ctx, method, base, path, text, true)
}

// Get sends one GET request to the first endpoint, with the user's password, and returns the
// status and the body.
func (c *Connection) Get(ctx context.Context, path string) (status int, body string, err error) {
	mc, err := c.memberClient()
	if err != nil {
		return 0, "", err
	}
	defer mc.close()
	got, err := mc.do(ctx, http.MethodGet, c.Endpoints[0], path, nil, true)
	if err != nil {
		return 0, "", fmt.Errorf("%s: %w", c.Endpoints[0], err)
	}
	return got.status, printable(strings.TrimSpace(string(got.body))), nil
}

func (mc *memberClient) do(ctx context.Context, method, base, path string, body []byte, withUser bool) (*response, error) {
	ctx, cancel := context.WithTimeout(ctx, mc.timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, strings.TrimSuffix(base, "/")+path, bytes.NewReader(body))
	if err != nil {
		return nil, errors.New("it is not a valid URL")
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	req.Header.Set("X-Request-Id", mc.id)
	if withUser && mc.user != "" {
		req.SetBasicAuth(mc.user, mc.password)
	}
	resp, err := mc.http.Do(req)
	if err != nil {
		return nil, mc.requestError(err)
	}
	defer resp.Body.Close()
	got := &response{status: resp.StatusCode, header: resp.Header, proxied: resp.Header.Get("X-Request-Id") == mc.id, last: resp.Close}
	if resp.TLS != nil {
		got.certificate = resp.TLS.PeerCertificates[0]
	}
	if got.body, err = io.ReadAll(io.LimitReader(resp.Body, maxResponse)); err != nil {
		return nil, mc.requestError(err)
	}
	return got, nil
}

// requestError removes the URL from an error, because the report names it already.
func (mc *memberClient) requestError(err error) error {
	var of *url.Error
	if errors.As(err, &of) {
		if of.Timeout() {
			return fmt.Errorf("no answer within %s", mc.timeout)
		}
		err = of.Err
	}
	return err
}

// decode decodes the body of a response with status 200. It reports whether it could.
func (r *response) decode(value any) bool {
	return r.status == http.StatusOK && json.Unmarshal(r.body, value) == nil
}

// errorText is the text of an error response of etcd or of its proxy.
func (r *response) errorText() string {
	var refusal struct{ Message, Cause string }
	if json.Unmarshal(r.body, &refusal) != nil || refusal.Message == "" {
		return http.StatusText(r.status)
	}
	if refusal.Cause != "" {
		return printable(refusal.Message + ": " + refusal.Cause)
	}
	return printable(refusal.Message)
}

// printable makes a text from the network safe to show on a terminal.
func printable(text string) string {
	text = strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return '?'
	}, text)
	const maxRunes = 200
	if runes := []rune(text); len(runes) > maxRunes {
		return string(runes[:maxRunes]) + "..."
	}
	return text
}

// unverified is the certificate because of which a connection failed, for example an
// expired one.
func unverified(err error) *x509.Certificate {
	var wrong *tls.CertificateVerificationError
	if errors.As(err, &wrong) && len(wrong.UnverifiedCertificates) > 0 {
		return wrong.UnverifiedCertificates[0]
	}
	return nil
}

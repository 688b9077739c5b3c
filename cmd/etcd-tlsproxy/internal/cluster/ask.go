package cluster

import (
	"bytes"
	"context"
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

// Members are those of the cluster, as the first endpoint that answers has them.
func (c *Connection) Members(ctx context.Context) ([]client.Member, error) {
	etcd, err := c.Client()
	if err != nil {
		return nil, err
	}
	ctx, cancel := c.Context(ctx)
	defer cancel()
	members, err := client.NewMembersAPI(etcd).List(ctx)
	if err != nil {
		return nil, fmt.Errorf("asking for the members: %w%s", flat(err), c.hint())
	}
	if len(members) == 0 {
		return nil, errors.New("asking for the members: the answer names none")
	}
	return members, nil
}

// Leader is the id of the member that leads.
func (c *Connection) Leader(ctx context.Context) (id string, err error) {
	etcd, err := c.Client()
	if err != nil {
		return "", err
	}
	ctx, cancel := c.Context(ctx)
	defer cancel()
	leader, err := client.NewMembersAPI(etcd).Leader(ctx)
	if err != nil {
		return "", flat(err)
	}
	return leader.ID, nil
}

func (c *Connection) hint() string {
	return " (hint: --endpoints is " + strings.Join(c.Endpoints, ",") + ")"
}

// flat is the library's error on one line.
func flat(err error) error {
	var all *client.ClusterError
	if !errors.As(err, &all) {
		return err
	}
	texts := make([]string, len(all.Errors))
	for i, e := range all.Errors {
		texts[i] = e.Error()
	}
	return errors.New("no endpoint answers: " + strings.Join(texts, "; "))
}

// asker asks single members. The library asks all endpoints for one answer, and
// keeps headers, certificates and the reasons of refusals to itself.
type asker struct {
	http           *http.Client
	timeout        time.Duration
	user, password string
	endpoints      []string
}

func (c *Connection) asker() (*asker, error) {
	transport, password, err := c.open()
	if err != nil {
		return nil, err
	}
	return &asker{
		http: &http.Client{
			Transport: transport,
			// An answer is the member's own, or it is none.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
		timeout: c.Timeout, user: c.User, password: password, endpoints: c.Endpoints,
	}, nil
}

func (a *asker) close() { a.http.CloseIdleConnections() }

// answer is what came back.
type answer struct {
	status      int
	header      http.Header
	body        []byte
	certificate *x509.Certificate // the server's, over TLS
}

// mostAnswer bounds an answer: the members of any cluster are less.
const mostAnswer = 1 << 20

// get asks an advertised URL. It is not one that the operator wrote, so that the
// user's password does not go there.
func (a *asker) get(ctx context.Context, method, base, path string) (*answer, error) {
	return a.do(ctx, method, base, path, nil, false)
}

// write asks an endpoint that the operator wrote for a change.
func (a *asker) write(ctx context.Context, method, base, path string, body any) (*answer, error) {
	var text []byte
	if body != nil {
		var err error
		if text, err = json.Marshal(body); err != nil {
			panic("BUG: a question cannot be encoded: " + err.Error())
		}
	}
	return a.do(ctx, method, base, path, text, true)
}

func (a *asker) do(ctx context.Context, method, base, path string, body []byte, withUser bool) (*answer, error) {
	ctx, cancel := context.WithTimeout(ctx, a.timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, strings.TrimSuffix(base, "/")+path, bytes.NewReader(body))
	if err != nil {
		return nil, errors.New("it is no URL")
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if withUser && a.user != "" {
		req.SetBasicAuth(a.user, a.password)
	}
	resp, err := a.http.Do(req)
	if err != nil {
		return nil, a.failure(err)
	}
	defer resp.Body.Close()
	got := &answer{status: resp.StatusCode, header: resp.Header}
	if resp.TLS != nil {
		got.certificate = resp.TLS.PeerCertificates[0]
	}
	if got.body, err = io.ReadAll(io.LimitReader(resp.Body, mostAnswer)); err != nil {
		return nil, a.failure(err)
	}
	return got, nil
}

// failure is an error without the URL, which the report has beside it.
func (a *asker) failure(err error) error {
	var of *url.Error
	if errors.As(err, &of) {
		if of.Timeout() {
			return fmt.Errorf("no answer within %s", a.timeout)
		}
		err = of.Err
	}
	return err
}

// into decodes an answer of 200 and reports whether it was one.
func (a *answer) into(value any) bool {
	return a.status == http.StatusOK && json.Unmarshal(a.body, value) == nil
}

// says is the text of a refusal, by etcd or by its proxy.
func (a *answer) says() string {
	var refusal struct{ Message, Cause string }
	if json.Unmarshal(a.body, &refusal) != nil || refusal.Message == "" {
		return http.StatusText(a.status)
	}
	if refusal.Cause != "" {
		return printable(refusal.Message + ": " + refusal.Cause)
	}
	return printable(refusal.Message)
}

// printable is a text of the other side as it may be shown on a terminal.
func printable(text string) string {
	text = strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return '?'
	}, text)
	const most = 200
	if runes := []rune(text); len(runes) > most {
		return string(runes[:most]) + "..."
	}
	return text
}

// unverified is the certificate that a connection failed for, as when it has
// expired.
func unverified(err error) *x509.Certificate {
	var wrong *tls.CertificateVerificationError
	if errors.As(err, &wrong) && len(wrong.UnverifiedCertificates) > 0 {
		return wrong.UnverifiedCertificates[0]
	}
	return nil
}

// Package cluster inspects and changes etcd clusters: it connects to them, probes the
// health of their members, checks their SRV records, and plans changes of the membership
// that do not lose data.
package cluster

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	client "go.etcd.io/etcd/client/v2"

	"etcd-tlsproxy/certs"
	"etcd-tlsproxy/cmd/internal/usage"
)

// Connection says how to reach etcd, directly or through proxies.
type Connection struct {
	// Endpoints are client URLs. The library tries them in its own order until one
	// answers.
	Endpoints []string
	// CA is a PEM file to verify https endpoints with, by default the system's CAs.
	CA string
	// Certificate and Key are the PEM files of this client's certificate.
	Certificate, Key string
	// User is sent with the first line of PasswordFile as its password. The password is
	// never an argument, because every user of the machine can read those.
	User, PasswordFile string
	// Timeout bounds each request.
	Timeout time.Duration
}

// maxIdle is how many connections to an endpoint are kept for the next requests. Commands that write much send as
// many requests at once.
const maxIdle = 64

// Transport returns a transport for the endpoints.
func (c *Connection) Transport() (*http.Transport, error) {
	t := &http.Transport{
		TLSClientConfig:     &tls.Config{MinVersion: tls.VersionTLS12},
		DialContext:         (&net.Dialer{Timeout: c.Timeout}).DialContext,
		TLSHandshakeTimeout: c.Timeout,
		MaxIdleConnsPerHost: maxIdle,
		// net/http may dial a connection and then not use it. etcd does not shut down
		// while such a silent connection is open.
		IdleConnTimeout: c.Timeout,
	}
	if c.CA != "" {
		file, err := readPEM(c.CA)
		if err != nil {
			return nil, fmt.Errorf("reading --ca-file: %w", err)
		}
		// A CA that was left out shows when the server of that CA is not verified.
		if t.TLSClientConfig.RootCAs, _, err = certs.Roots(file); err != nil {
			return nil, fmt.Errorf("reading --ca-file: %w", err)
		}
	}
	if (c.Certificate == "") != (c.Key == "") {
		return nil, usage.Mark(errors.New("--cert-file and --key-file must be given together"))
	}
	if c.Certificate != "" {
		pair, err := c.pair()
		if err != nil {
			return nil, fmt.Errorf("reading --cert-file and --key-file: %w", err)
		}
		t.TLSClientConfig.Certificates = []tls.Certificate{pair}
	}
	return t, nil
}

// pair reads this client's certificate. The server that gets it says what it does not
// accept of it.
func (c *Connection) pair() (tls.Certificate, error) {
	certificate, err := readPEM(c.Certificate)
	if err != nil {
		return tls.Certificate{}, err
	}
	key, err := readPEM(c.Key)
	if err != nil {
		return tls.Certificate{}, err
	}
	pair, _, err := certs.ClientPair(certificate, key, time.Now())
	return pair, err
}

func readPEM(path string) (certs.PEM, error) {
	data, err := os.ReadFile(path)
	return certs.PEM{File: path, Data: data}, err
}

// password returns the first line of PasswordFile.
func (c *Connection) password() (string, error) {
	if (c.User == "") != (c.PasswordFile == "") {
		return "", usage.Mark(errors.New("the name of the user and --password-file must be given together"))
	}
	if c.User == "" {
		return "", nil
	}
	text, err := os.ReadFile(c.PasswordFile)
	if err != nil {
		return "", fmt.Errorf("reading --password-file: %w", err)
	}
	line, _, _ := bytes.Cut(text, []byte("\n"))
	return string(bytes.TrimSuffix(line, []byte("\r"))), nil
}

// Login returns the user and the password.
func (c *Connection) Login() (user, password string, err error) {
	password, err = c.password()
	return c.User, password, err
}

// check finds mistakes that the library reports late or not at all.
func (c *Connection) check() error {
	if len(c.Endpoints) == 0 {
		return usage.Mark(errors.New("--endpoints names no endpoint"))
	}
	for _, endpoint := range c.Endpoints {
		u, err := url.Parse(endpoint)
		if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" ||
			u.User != nil || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" {
			return usage.Mark(fmt.Errorf("endpoint %q is not a valid client URL (hint: write it like https://conf1001.example.org:4001, and the user in --user)", redact(endpoint)))
		}
	}
	return nil
}

// Check checks the options and the files that they name, without connecting.
func (c *Connection) Check() error {
	mc, err := c.memberClient()
	if err == nil {
		mc.close()
	}
	return err
}

// redact hides a possible password in a URL.
func redact(endpoint string) string {
	if _, after, ok := strings.Cut(endpoint, "@"); ok {
		return "...@" + after
	}
	return endpoint
}

// load checks the options and reads all files that they name.
func (c *Connection) load() (transport *http.Transport, password string, err error) {
	if err := c.check(); err != nil {
		return nil, "", err
	}
	if transport, err = c.Transport(); err != nil {
		return nil, "", err
	}
	password, err = c.password()
	return transport, password, err
}

// Client returns a client of etcd's v2 API for all the endpoints.
func (c *Connection) Client() (client.Client, error) {
	transport, password, err := c.load()
	if err != nil {
		return nil, err
	}
	return client.New(client.Config{
		Endpoints: c.Endpoints, Transport: failures{transport}, Username: c.User, Password: password,
		HeaderTimeoutPerRequest: c.Timeout,
	})
}

// Context returns a context that bounds one request, which may try every endpoint.
func (c *Connection) Context(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, c.Timeout*time.Duration(max(1, len(c.Endpoints))))
}

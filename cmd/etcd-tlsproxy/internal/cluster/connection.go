// Package cluster knows etcd clusters: how to reach them, what their members say of
// themselves, and what may be done to them without losing what they hold.
package cluster

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	client "go.etcd.io/etcd/client/v2"
)

// Connection is how a verb reaches etcd, directly or through proxies.
type Connection struct {
	// Endpoints are client URLs; each is asked, in an order of the library's, until one
	// answers.
	Endpoints []string
	// CA verifies https endpoints; the system's CAs by default.
	CA string
	// Certificate and Key are this client's, in PEM files.
	Certificate, Key string
	// User is sent with the first line of PasswordFile as its password: never an
	// argument, which every user of the machine could read.
	User, PasswordFile string
	// Timeout bounds each request.
	Timeout time.Duration
}

// Transport reaches the endpoints.
func (c *Connection) Transport() (*http.Transport, error) {
	t := &http.Transport{
		TLSClientConfig:     &tls.Config{MinVersion: tls.VersionTLS12},
		DialContext:         (&net.Dialer{Timeout: c.Timeout}).DialContext,
		TLSHandshakeTimeout: c.Timeout,
		// A connection that came too late for its request is never used, and etcd does
		// not end while one is open on which nothing was ever said.
		IdleConnTimeout: c.Timeout,
	}
	if c.CA != "" {
		pem, err := os.ReadFile(c.CA)
		if err != nil {
			return nil, fmt.Errorf("reading --ca-file: %w", err)
		}
		t.TLSClientConfig.RootCAs = x509.NewCertPool()
		if !t.TLSClientConfig.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("reading --ca-file: there is no certificate in %s (hint: it should hold PEM blocks that begin with -----BEGIN CERTIFICATE-----)", c.CA)
		}
	}
	if (c.Certificate == "") != (c.Key == "") {
		return nil, errors.New("--cert-file and --key-file go together")
	}
	if c.Certificate != "" {
		pair, err := tls.LoadX509KeyPair(c.Certificate, c.Key)
		if err != nil {
			return nil, fmt.Errorf("reading --cert-file and --key-file: %w", err)
		}
		t.TLSClientConfig.Certificates = []tls.Certificate{pair}
	}
	return t, nil
}

// password is the first line of PasswordFile.
func (c *Connection) password() (string, error) {
	if (c.User == "") != (c.PasswordFile == "") {
		return "", errors.New("--username and --password-file go together")
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

// check finds what the library would find late or not at all.
func (c *Connection) check() error {
	if len(c.Endpoints) == 0 {
		return errors.New("--endpoints names none")
	}
	for _, endpoint := range c.Endpoints {
		u, err := url.Parse(endpoint)
		if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" {
			return fmt.Errorf("endpoint %q is no client URL (hint: write it as in https://conf1001.example.org:4001; the user goes into --username)", redact(endpoint))
		}
	}
	return nil
}

// Check finds what is wrong with the connection without making it.
func (c *Connection) Check() error {
	mc, err := c.memberClient()
	if err == nil {
		mc.close()
	}
	return err
}

// redacted hides what may be a password in a URL.
func redact(endpoint string) string {
	if _, after, ok := strings.Cut(endpoint, "@"); ok {
		return "...@" + after
	}
	return endpoint
}

// open checks the flags and reads all files that they name.
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

// Client speaks etcd's v2 API with all the endpoints.
func (c *Connection) Client() (client.Client, error) {
	transport, password, err := c.load()
	if err != nil {
		return nil, err
	}
	return client.New(client.Config{
		Endpoints: c.Endpoints, Transport: transport, Username: c.User, Password: password,
		HeaderTimeoutPerRequest: c.Timeout,
	})
}

// Context bounds one request to all the endpoints.
func (c *Connection) Context(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, c.Timeout*time.Duration(max(1, len(c.Endpoints))))
}

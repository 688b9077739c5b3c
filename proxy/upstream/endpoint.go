package upstream

import (
	"errors"
	"net"
	"net/url"
	"strconv"
	"strings"
)

// Endpoint is where an etcd listens for clients.
type Endpoint struct {
	network string // tcp or unix
	address string // to dial; of a discovered member all, with spaces between
	text    string // to show
	tls     bool
	host    string // to verify the certificate against
}

// ParseEndpoint reads http://host:port, https://host:port or unix:///path. The
// port must be given: etcd's is 2379, nginx setups move it, and a guess would
// find the other one.
func ParseEndpoint(text string) (Endpoint, error) {
	if path, ok := strings.CutPrefix(text, "unix://"); ok {
		if !strings.HasPrefix(path, "/") {
			return Endpoint{}, errors.New("a socket's path must be absolute, as in unix:///run/etcd.sock")
		}
		return Endpoint{network: "unix", address: path, text: text}, nil
	}
	u, err := url.Parse(text)
	if err != nil {
		return Endpoint{}, errors.New("it is no URL")
	}
	switch {
	case u.Scheme != "http" && u.Scheme != "https":
		return Endpoint{}, errors.New("it should begin with http://, https:// or unix://")
	case u.User != nil:
		return Endpoint{}, errors.New("it should hold no user; the proxy sends no credentials to etcd")
	case u.Path != "" && u.Path != "/" || u.RawQuery != "" || u.ForceQuery || strings.Contains(text, "#"):
		return Endpoint{}, errors.New("it should end after the port")
	case u.Hostname() == "":
		return Endpoint{}, errors.New("it names no host")
	case u.Port() == "":
		return Endpoint{}, errors.New("it names no port; etcd's own is 2379")
	}
	if port, err := strconv.ParseUint(u.Port(), 10, 16); err != nil || port == 0 {
		return Endpoint{}, errors.New("its port is not between 1 and 65535")
	}
	address := net.JoinHostPort(u.Hostname(), u.Port())
	return Endpoint{network: "tcp", address: address, text: u.Scheme + "://" + address, tls: u.Scheme == "https", host: u.Hostname()}, nil
}

// TLS reports whether connections to the endpoint are encrypted.
func (e Endpoint) TLS() bool { return e.tls }

// String is the endpoint as [ParseEndpoint] reads it.
func (e Endpoint) String() string { return e.text }

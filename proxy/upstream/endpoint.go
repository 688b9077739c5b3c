package upstream

import (
	"errors"
	"net"
	"net/url"
	"strconv"
	"strings"
)

// Endpoint is an address at which an etcd member serves clients.
type Endpoint struct {
	network string // tcp or unix
	address string // to dial; a discovered member has several, separated by spaces
	text    string // as displayed
	tls     bool
	host    string // for verifying the certificate
}

// ParseEndpoint parses http://host:port, https://host:port or unix:///path. The port is
// required: etcd's own is 2379, but nginx setups move it, and a guess could reach the
// wrong server.
func ParseEndpoint(text string) (Endpoint, error) {
	if path, ok := strings.CutPrefix(text, "unix://"); ok {
		if !strings.HasPrefix(path, "/") {
			return Endpoint{}, errors.New("a socket's path must be absolute, as in unix:///run/etcd.sock")
		}
		return Endpoint{network: "unix", address: path, text: text}, nil
	}
	u, err := url.Parse(text)
	if err != nil {
		return Endpoint{}, errors.New("not a valid URL")
	}
	switch {
	case u.Scheme != "http" && u.Scheme != "https":
		return Endpoint{}, errors.New("it should begin with http://, https:// or unix://")
	case u.User != nil:
		return Endpoint{}, errors.New("it should contain no user; upstream.user names the user whose credentials etcd receives")
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

// String returns the endpoint in the form that [ParseEndpoint] accepts.
func (e Endpoint) String() string { return e.text }

// Host returns the name that the certificate of the endpoint must have; "" without TLS.
func (e Endpoint) Host() string { return e.host }

// Addresses returns the addresses to dial in the form of gRPC: host:port or unix:///path. Each
// is one of the same member.
func (e Endpoint) Addresses() []string {
	if e.network == "unix" {
		return []string{e.text}
	}
	return strings.Fields(e.address)
}

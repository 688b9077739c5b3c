package cluster

import (
	"fmt"
	"net"
	"net/url"
	"strings"
)

// Peer is a member in etcd's initial cluster.
type Peer struct {
	Name string `json:"name"`
	URL  string `json:"url"`
}

// InitialCluster writes a list of peers in the form of etcd's flag and of hiera.
func InitialCluster(all []Peer) string {
	texts := make([]string, len(all))
	for i, p := range all {
		texts[i] = p.Name + "=" + p.URL
	}
	return strings.Join(texts, ",")
}

// Settings is the configuration of a member behind a proxy.
type Settings struct {
	Name    string
	DataDir string
	// PeerURL is the URL for the other members, ProxyURL the one for clients.
	PeerURL, ProxyURL string
	// ListenClient is the URL that its proxy connects to. ListenPeer is the address on
	// which it listens for peers.
	ListenClient, ListenPeer string
	// Peers are all members, including this one. Alternatively Discovery is a domain
	// whose SRV records name them.
	Peers     []Peer
	Discovery string
	// State is "new" for a member of a new cluster, "existing" for one that joins.
	State string
	// Token differs between clusters, so that members of two clusters do not mix.
	Token string
	// Certificate, Key and CA are the PEM files of TLS between peers.
	Certificate, Key, CA string
	// V3 is true for keys in the v3 store. The v2 API is then not needed, and etcd 3.6 does not have it.
	V3 bool
}

// Setting is one of etcd's settings, by its flag.
type Setting struct{ Flag, Value string }

// Variable is the name of the setting in etcd's environment.
func (s Setting) Variable() string {
	return "ETCD_" + strings.ToUpper(strings.ReplaceAll(s.Flag, "-", "_"))
}

// List returns the settings in an order that is easy to read.
func (s *Settings) List() ([]Setting, error) {
	peer, err := url.Parse(s.PeerURL)
	if err != nil {
		return nil, fmt.Errorf("reading the peer URL: %w", err)
	}
	listen := &url.URL{Scheme: peer.Scheme, Host: net.JoinHostPort(s.ListenPeer, peer.Port())}
	all := []Setting{
		{"name", s.Name},
		{"data-dir", s.DataDir},
		{"listen-peer-urls", listen.String()},
		{"listen-client-urls", s.ListenClient},
		{"advertise-client-urls", s.ProxyURL},
		{"initial-advertise-peer-urls", s.PeerURL},
	}
	// etcd refuses to start with both of them.
	if s.Discovery != "" {
		all = append(all, Setting{"discovery-srv", s.Discovery})
	} else {
		all = append(all, Setting{"initial-cluster", InitialCluster(s.Peers)})
	}
	all = append(all, Setting{"initial-cluster-state", s.State})
	if s.Token != "" {
		all = append(all, Setting{"initial-cluster-token", s.Token})
	}
	if s.Certificate != "" {
		all = append(all, Setting{"peer-cert-file", s.Certificate}, Setting{"peer-key-file", s.Key})
	}
	if s.CA != "" {
		all = append(all, Setting{"peer-trusted-ca-file", s.CA}, Setting{"peer-client-cert-auth", "true"})
	}
	if s.V3 {
		return all, nil
	}
	return append(all, Setting{"enable-v2", "true"}), nil
}

// Env writes settings as an environment file such as /etc/default/etcd.
func Env(all []Setting) string {
	var b strings.Builder
	for _, s := range all {
		fmt.Fprintf(&b, "%s=\"%s\"\n", s.Variable(), s.Value)
	}
	return b.String()
}

// Flags writes settings as a command line.
func Flags(all []Setting) string {
	lines := []string{"etcd"}
	for _, s := range all {
		lines = append(lines, "--"+s.Flag+"="+s.Value)
	}
	return strings.Join(lines, " \\\n  ") + "\n"
}

// Hiera holds the parameters of Puppet's profile for etcd and its proxy.
type Hiera struct {
	// Cluster is the name of the cluster. It is left out if empty.
	Cluster string `json:"profile::etcd::cluster_name,omitempty"`
	// Bootstrap is true only while a new cluster is being built.
	Bootstrap bool `json:"profile::etcd::cluster_bootstrap"`
	// Discovery is the initial cluster, or "dns:" and a domain.
	Discovery string `json:"profile::etcd::discovery"`
	UseProxy  bool   `json:"profile::etcd::use_proxy"`
	// ClientCerts is always false: client certificates in etcd conflict with the proxy.
	ClientCerts bool `json:"profile::etcd::use_client_certs"`
}

// String writes the parameters as YAML.
func (h *Hiera) String() string {
	var b strings.Builder
	if h.Cluster != "" {
		fmt.Fprintf(&b, "profile::etcd::cluster_name: %q\n", h.Cluster)
	}
	fmt.Fprintf(&b, "profile::etcd::cluster_bootstrap: %t\n", h.Bootstrap)
	fmt.Fprintf(&b, "profile::etcd::discovery: %q\n", h.Discovery)
	fmt.Fprintf(&b, "profile::etcd::use_proxy: %t\n", h.UseProxy)
	fmt.Fprintf(&b, "profile::etcd::use_client_certs: %t\n", h.ClientCerts)
	return b.String()
}

// Quorum is the number of members out of n that have to agree.
func Quorum(n int) int { return n/2 + 1 }

// EvenWarning warns about an even number of members. It is empty for an odd one.
func EvenWarning(n int) string {
	if n%2 != 0 {
		return ""
	}
	return fmt.Sprintf("%d members have a quorum of %d, and tolerate no more failures than %d would (hint: use an odd number)", n, Quorum(n), n-1)
}

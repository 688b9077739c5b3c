package cluster

import (
	"fmt"
	"net"
	"net/url"
	"strings"
)

// Peer is a member as etcd's initial cluster has it.
type Peer struct {
	Name string `json:"name"`
	URL  string `json:"url"`
}

// Initial is a list of peers as etcd's flags and hiera have it.
func InitialCluster(all []Peer) string {
	texts := make([]string, len(all))
	for i, p := range all {
		texts[i] = p.Name + "=" + p.URL
	}
	return strings.Join(texts, ",")
}

// Settings is how a member is configured that stands behind a proxy.
type Settings struct {
	Name    string
	DataDir string
	// PeerURL is where the others reach it, ProxyURL where clients do.
	PeerURL, ProxyURL string
	// ListenClient is the URL on which its proxy reaches it. ListenPeer is the
	// address for peers.
	ListenClient, ListenPeer string
	// Peers are all members, this one among them; Discovery is a domain instead,
	// whose records name them.
	Peers     []Peer
	Discovery string
	// State is "new" for a member that begins a cluster, "existing" for one that
	// joins.
	State string
	// Token is different for each cluster, so that members of two do not mix.
	Token string
	// Certificate, Key and CA are the PEM files of TLS between peers.
	Certificate, Key, CA string
}

// Setting is one of etcd's, by its flag.
type Setting struct{ Flag, Value string }

// Variable is its name in etcd's environment.
func (s Setting) Variable() string {
	return "ETCD_" + strings.ToUpper(strings.ReplaceAll(s.Flag, "-", "_"))
}

// List is the settings in the order in which people read them.
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
	// etcd refuses to start with both.
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
	return append(all, Setting{"enable-v2", "true"}), nil
}

// Env is settings as a file of a service's environment, as in /etc/default/etcd.
func Env(all []Setting) string {
	var b strings.Builder
	for _, s := range all {
		fmt.Fprintf(&b, "%s=\"%s\"\n", s.Variable(), s.Value)
	}
	return b.String()
}

// Flags is settings as a command line.
func Flags(all []Setting) string {
	lines := []string{"etcd"}
	for _, s := range all {
		lines = append(lines, "--"+s.Flag+"="+s.Value)
	}
	return strings.Join(lines, " \\\n  ") + "\n"
}

// Hiera is what Puppet's profile of etcd and its proxy wants to know.
type Hiera struct {
	// Cluster is its name; "" leaves it as it is.
	Cluster string `json:"profile::etcd::cluster_name,omitempty"`
	// Bootstrap is true only while a cluster is first built.
	Bootstrap bool `json:"profile::etcd::cluster_bootstrap"`
	// Discovery is the initial cluster, or dns: and the domain.
	Discovery string `json:"profile::etcd::discovery"`
	UseProxy  bool   `json:"profile::etcd::use_proxy"`
	// ClientCerts of etcd's own conflict with the proxy.
	ClientCerts bool `json:"profile::etcd::use_client_certs"`
}

// String is it as YAML.
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

// Quorum is how many of n members have to agree.
func Quorum(n int) int { return n/2 + 1 }

// Even tells what an even number of members does not give, or "".
func EvenWarning(n int) string {
	if n%2 != 0 {
		return ""
	}
	return fmt.Sprintf("%d members need %d to agree, and survive the loss of no more members than %d would (hint: take an odd number)", n, Quorum(n), n-1)
}

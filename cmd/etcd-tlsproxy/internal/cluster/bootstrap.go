package cluster

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"etcd-tlsproxy/proxy/upstream"
)

// Bootstrap describes a cluster that is to be built.
type Bootstrap struct {
	// Cluster is its name, which becomes the token.
	Cluster string
	// PeerScheme is how the members speak with each other, and PeerPort where. TLS
	// between peers is another thing than TLS for clients.
	PeerScheme string
	PeerPort   int
	// ClientScheme and ProxyPort are of the URL that clients get: the proxy's.
	ClientScheme string
	ProxyPort    int
	// The others are as in [Settings].
	ListenClient, ListenPeer, DataDir string
	Certificate, Key, CA              string
}

// Named reads a list of members as in conf1001=conf1001.example.org.
func (b *Bootstrap) ParseMembers(list []string) ([]Peer, error) {
	var all []Peer
	for _, text := range list {
		name, host, ok := strings.Cut(text, "=")
		if !ok {
			return nil, fmt.Errorf("member %q has no name or no host (hint: write it as in conf1001=conf1001.example.org)", text)
		}
		if strings.Contains(host, "://") {
			return nil, fmt.Errorf("member %q has a URL where its host should be (hint: --peer-scheme and --client-scheme say how it is spoken with)", text)
		}
		port := strconv.Itoa(b.PeerPort)
		if h, p, err := net.SplitHostPort(host); err == nil {
			host, port = h, p
		}
		if err := CheckName(name); err != nil {
			return nil, err
		}
		peer := Peer{Name: name, URL: b.PeerScheme + "://" + net.JoinHostPort(strings.ToLower(host), port)}
		if _, err := CheckPeerURL(peer.URL); err != nil {
			return nil, err
		}
		all = append(all, peer)
	}
	return all, checkDistinct(all)
}

// Found takes the members from the records of a domain, which say themselves how
// peers speak and where.
func (b *Bootstrap) MembersFromDNS(d *Domain) ([]Peer, error) {
	all := d.Peers()
	if !d.answered(peers) || len(all) == 0 {
		return nil, fmt.Errorf("%s gives no peers (hint: etcd-tlsproxy srv %[1]s tells what it gives)", d.Name)
	}
	for _, p := range all {
		u, err := CheckPeerURL(p.URL)
		if err != nil {
			return nil, fmt.Errorf("a record of %s: %w", d.Name, err)
		}
		if u.Scheme != b.PeerScheme {
			return nil, fmt.Errorf("a record of %s gives the peer URL %s, and peers are to speak %s (hint: _etcd-server-ssl._tcp is for https, _etcd-server._tcp for http; --peer-scheme says which is meant)", d.Name, p.URL, b.PeerScheme)
		}
	}
	return all, checkDistinct(all)
}

func checkDistinct(all []Peer) error {
	names, urls := make(map[string]bool), make(map[string]bool)
	for _, p := range all {
		if names[p.Name] {
			return fmt.Errorf("two members are called %q", p.Name)
		}
		if urls[p.URL] {
			return fmt.Errorf("two members have the peer URL %s", p.URL)
		}
		names[p.Name], urls[p.URL] = true, true
	}
	return nil
}

var isName = regexp.MustCompile(`^[A-Za-z0-9]([-._A-Za-z0-9]{0,62}[A-Za-z0-9])?$`)

// CheckName refuses names that etcd's initial cluster or a file of its environment
// would take for something else.
func CheckName(name string) error {
	if !isName.MatchString(name) {
		return fmt.Errorf("%q is no name for a member (hint: up to 64 letters, digits, dots, hyphens and underscores, as in conf1001)", name)
	}
	return nil
}

// CheckPeerURL refuses what is no peer URL.
func CheckPeerURL(text string) (*url.URL, error) {
	invalid := func(why string) error {
		return fmt.Errorf("%q is no peer URL: %s (hint: write it as in http://conf1001.example.org:2380)", redact(text), why)
	}
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Scheme != "http" && u.Scheme != "https":
		return nil, invalid("it is neither http:// nor https://")
	case u.User != nil || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "":
		return nil, invalid("it holds more than a host and a port")
	case net.ParseIP(u.Hostname()) == nil && upstream.CheckDomain(u.Hostname()) != nil:
		return nil, invalid("its host is neither a name nor an address")
	}
	if port, err := strconv.ParseUint(u.Port(), 10, 16); err != nil || port == 0 {
		return nil, invalid("it has no port")
	}
	return &url.URL{Scheme: u.Scheme, Host: u.Host}, nil
}

// Settings are those of one of the members.
func (b *Bootstrap) Settings(all []Peer, name string) (*Settings, error) {
	at := slices.IndexFunc(all, func(p Peer) bool { return p.Name == name })
	if at < 0 {
		return nil, fmt.Errorf("no member is called %q (hint: they are %s)", name, InitialCluster(all))
	}
	u, err := CheckPeerURL(all[at].URL)
	if err != nil {
		return nil, err
	}
	return &Settings{
		Name: name, DataDir: b.DataDir, PeerURL: all[at].URL, ProxyURL: b.proxyURL(u.Hostname()),
		ListenClient: b.ListenClient, ListenPeer: b.ListenPeer, Peers: all, State: "new", Token: b.Cluster,
		Certificate: b.Certificate, Key: b.Key, CA: b.CA,
	}, nil
}

func (b *Bootstrap) proxyURL(host string) string {
	return b.ClientScheme + "://" + net.JoinHostPort(host, strconv.Itoa(b.ProxyPort))
}

// Check finds what etcd would say only when it starts, or its clients later.
func (b *Bootstrap) Check() error {
	for flag, scheme := range map[string]string{"--peer-scheme": b.PeerScheme, "--client-scheme": b.ClientScheme} {
		if scheme != "http" && scheme != "https" {
			return fmt.Errorf("%s %q is neither http nor https", flag, scheme)
		}
	}
	if b.Cluster != "" {
		if err := CheckName(b.Cluster); err != nil {
			return fmt.Errorf("--cluster-name: %w", err)
		}
	}
	if (b.Certificate == "") != (b.Key == "") {
		return errors.New("--peer-cert-file and --peer-key-file go together")
	}
	if b.PeerScheme == "http" && b.Certificate+b.CA != "" {
		return errors.New("peers that speak http have no certificates (hint: --peer-scheme https)")
	}
	for flag, path := range map[string]string{"--data-dir": b.DataDir, "--peer-cert-file": b.Certificate, "--peer-key-file": b.Key, "--peer-ca-file": b.CA} {
		if strings.ContainsAny(path, "\"'\\$`\n ") {
			return fmt.Errorf("%s: %q holds what a file of an environment reads in another way", flag, path)
		}
	}
	if net.ParseIP(b.ListenPeer) == nil {
		return fmt.Errorf("--listen-peer %q is no address (hint: etcd listens on addresses, not on names; 0.0.0.0 is all of them)", b.ListenPeer)
	}
	listen, err := url.Parse(b.ListenClient)
	if err != nil || listen.Scheme != "http" && listen.Scheme != "https" || net.ParseIP(listen.Hostname()) == nil || listen.Port() == "" {
		return fmt.Errorf("--listen-client %q is no URL with an address and a port (hint: as in http://127.0.0.1:2379; etcd listens on addresses, not on names)", redact(b.ListenClient))
	}
	return b.checkPorts(listen.Port())
}

// checkPorts refuses one port for two things on a machine.
func (b *Bootstrap) checkPorts(client string) error {
	for _, port := range []int{b.PeerPort, b.ProxyPort} {
		if port < 1 || port > 65535 {
			return fmt.Errorf("%d is no port", port)
		}
	}
	proxy, peer := strconv.Itoa(b.ProxyPort), strconv.Itoa(b.PeerPort)
	if client == proxy || peer == proxy || client == peer {
		return fmt.Errorf("the proxy (port %s), etcd's clients (%s) and its peers (%s) need ports of their own", proxy, client, peer)
	}
	return nil
}

// Warnings are what may be meant and often is not.
func (b *Bootstrap) Warnings(all []Peer) []string {
	var warnings []string
	if len(all) > 1 {
		if even := EvenWarning(len(all)); even != "" {
			warnings = append(warnings, even)
		}
	}
	if b.ClientScheme == "http" {
		warnings = append(warnings, "clients are told an http URL: this proxy speaks https only")
	}
	if b.PeerScheme == "https" && b.Certificate == "" {
		warnings = append(warnings, "etcd does not start with https peer URLs without --peer-cert-file and --peer-key-file")
	}
	if b.PeerScheme == "https" && b.Certificate != "" && b.CA == "" {
		warnings = append(warnings, "without --peer-ca-file any host may join as a peer")
	}
	if u, err := url.Parse(b.ListenClient); err == nil && u.Scheme == "http" && !net.ParseIP(u.Hostname()).IsLoopback() {
		warnings = append(warnings, "clients reach etcd at "+b.ListenClient+" past the proxy, without a password")
	}
	return warnings
}

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

// Bootstrap describes a new cluster.
type Bootstrap struct {
	// Cluster is the name of the cluster. It becomes the token.
	Cluster string
	// PeerScheme and PeerPort are those of the peer URLs. TLS between peers does not
	// depend on TLS for clients.
	PeerScheme string
	PeerPort   int
	// ClientScheme and ProxyPort are those of the URL that members advertise to clients,
	// which is the URL of their proxy.
	ClientScheme string
	ProxyPort    int
	// The other fields are those of [Settings].
	ListenClient, ListenPeer, DataDir string
	Certificate, Key, CA              string
	// API is "v3" for keys in the v3 store, and otherwise "v2" or "".
	API string
}

// ParseMembers parses a list of members such as conf1001=conf1001.example.org.
func (b *Bootstrap) ParseMembers(list []string) ([]Peer, error) {
	var all []Peer
	for _, text := range list {
		name, host, ok := strings.Cut(text, "=")
		if !ok {
			return nil, fmt.Errorf("member %q has no name or no host (hint: write it like conf1001=conf1001.example.org)", text)
		}
		if strings.Contains(host, "://") {
			return nil, fmt.Errorf("member %q has a URL where its host should be (hint: give the host alone; --peer-scheme and --client-scheme set the schemes)", text)
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

// MembersFromDNS returns the members that the SRV records of a domain describe. Scheme
// and port of the peer URLs come from the records.
func (b *Bootstrap) MembersFromDNS(d *Domain) ([]Peer, error) {
	all := d.Peers()
	if !d.answered(peers) || len(all) == 0 {
		return nil, fmt.Errorf("%s has no SRV records for peers (hint: etcd-tlsproxy srv %[1]s shows its records)", d.Name)
	}
	for _, p := range all {
		u, err := CheckPeerURL(p.URL)
		if err != nil {
			return nil, fmt.Errorf("a record of %s: %w", d.Name, err)
		}
		if u.Scheme != b.PeerScheme {
			return nil, fmt.Errorf("a record of %s gives the peer URL %s, but --peer-scheme is %s (hint: _etcd-server-ssl._tcp is for https, _etcd-server._tcp for http)", d.Name, p.URL, b.PeerScheme)
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

// CheckName refuses names that would be misread in etcd's initial cluster or in an
// environment file.
func CheckName(name string) error {
	if !isName.MatchString(name) {
		return fmt.Errorf("%q is not a valid name for a member (hint: use up to 64 letters, digits, dots, hyphens and underscores, as in conf1001)", name)
	}
	return nil
}

// CheckPeerURL parses a peer URL.
func CheckPeerURL(text string) (*url.URL, error) {
	invalid := func(why string) error {
		return fmt.Errorf("%q is not a valid peer URL: %s (hint: write it like http://conf1001.example.org:2380)", redact(text), why)
	}
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Scheme != "http" && u.Scheme != "https":
		return nil, invalid("it begins with neither http:// nor https://")
	case u.User != nil || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "":
		return nil, invalid("it contains more than a host and a port")
	case net.ParseIP(u.Hostname()) == nil && upstream.CheckDomain(u.Hostname()) != nil:
		return nil, invalid("its host is neither a name nor an IP address")
	}
	if port, err := strconv.ParseUint(u.Port(), 10, 16); err != nil || port == 0 {
		return nil, invalid("it has no port")
	}
	return &url.URL{Scheme: u.Scheme, Host: u.Host}, nil
}

// Settings returns the settings of one of the members.
func (b *Bootstrap) Settings(all []Peer, name string) (*Settings, error) {
	at := slices.IndexFunc(all, func(p Peer) bool { return p.Name == name })
	if at < 0 {
		return nil, fmt.Errorf("no member is called %q (hint: the members are %s)", name, InitialCluster(all))
	}
	u, err := CheckPeerURL(all[at].URL)
	if err != nil {
		return nil, err
	}
	return &Settings{
		Name: name, DataDir: b.DataDir, PeerURL: all[at].URL, ProxyURL: b.proxyURL(u.Hostname()),
		ListenClient: b.ListenClient, ListenPeer: b.ListenPeer, Peers: all, State: "new", Token: b.Cluster,
		Certificate: b.Certificate, Key: b.Key, CA: b.CA, V3: b.API == "v3",
	}, nil
}

func (b *Bootstrap) proxyURL(host string) string {
	return b.ClientScheme + "://" + net.JoinHostPort(host, strconv.Itoa(b.ProxyPort))
}

// Check finds mistakes that etcd reports only when it starts, or its clients later.
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
	if b.API != "" && b.API != "v2" && b.API != "v3" {
		return fmt.Errorf("--api %q is not a valid API, want v2 or v3 (hint: it is that of upstream.api)", b.API)
	}
	if (b.Certificate == "") != (b.Key == "") {
		return errors.New("--peer-cert-file and --peer-key-file must be given together")
	}
	if b.PeerScheme == "http" && b.Certificate+b.CA != "" {
		return errors.New("peers that use http have no certificates (hint: add --peer-scheme https)")
	}
	for flag, path := range map[string]string{"--data-dir": b.DataDir, "--peer-cert-file": b.Certificate, "--peer-key-file": b.Key, "--peer-ca-file": b.CA} {
		if strings.ContainsAny(path, "\"'\\$`\n ") {
			return fmt.Errorf("%s: %q contains a blank, a quote or another character that is special in environment files", flag, path)
		}
	}
	if net.ParseIP(b.ListenPeer) == nil {
		return fmt.Errorf("--listen-peer %q is not a valid IP address (hint: etcd listens on addresses, not on names; 0.0.0.0 is all of them)", b.ListenPeer)
	}
	listen, err := url.Parse(b.ListenClient)
	if err != nil || listen.Scheme != "http" && listen.Scheme != "https" ||
		net.ParseIP(listen.Hostname()) == nil || listen.Port() == "" {
		return fmt.Errorf("--listen-client %q is not a valid URL with an IP address and a port (hint: write it like http://127.0.0.1:2379; etcd listens on addresses, not on names)", redact(b.ListenClient))
	}
	return b.checkPorts(listen.Port())
}

// checkPorts checks that the three listeners of a machine have different ports.
func (b *Bootstrap) checkPorts(client string) error {
	for _, port := range []int{b.PeerPort, b.ProxyPort} {
		if port < 1 || port > 65535 {
			return fmt.Errorf("%d is not a valid port (hint: use 1 to 65535)", port)
		}
	}
	proxy, peer := strconv.Itoa(b.ProxyPort), strconv.Itoa(b.PeerPort)
	if client == proxy || peer == proxy || client == peer {
		return fmt.Errorf("the proxy (port %s), etcd's clients (port %s) and its peers (port %s) need different ports", proxy, client, peer)
	}
	return nil
}

// Warnings lists settings that are allowed but are often mistakes.
func (b *Bootstrap) Warnings(all []Peer) []string {
	var warnings []string
	if len(all) > 1 {
		if even := EvenWarning(len(all)); even != "" {
			warnings = append(warnings, even)
		}
	}
	if b.ClientScheme == "http" {
		warnings = append(warnings, "members advertise an http URL to clients, but this proxy serves https only")
	}
	if b.PeerScheme == "https" && b.Certificate == "" {
		warnings = append(warnings, "etcd does not start with https peer URLs without --peer-cert-file and --peer-key-file")
	}
	if b.PeerScheme == "https" && b.Certificate != "" && b.CA == "" {
		warnings = append(warnings, "without --peer-ca-file any host may join as a peer")
	}
	u, err := url.Parse(b.ListenClient)
	if err == nil && u.Scheme == "https" {
		warnings = append(warnings, "etcd does not start with "+b.ListenClient+" without ETCD_CERT_FILE and ETCD_KEY_FILE, and serves every client without ETCD_TRUSTED_CA_FILE and ETCD_CLIENT_CERT_AUTH=\"true\": add them to the settings, and upstream.ca, certificate and key to the proxy's")
	}
	if err == nil && u.Scheme == "http" && !net.ParseIP(u.Hostname()).IsLoopback() {
		warnings = append(warnings, "clients can bypass the proxy and reach etcd at "+b.ListenClient+" without a password")
	}
	return warnings
}

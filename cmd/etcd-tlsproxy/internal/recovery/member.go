package recovery

import (
	"fmt"
	"net"
	"net/url"
	"regexp"
	"strconv"
	"strings"

	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/cluster"
)

// Member is a member of the cluster to recover.
type Member struct {
	Name string `json:"name"`
	// Peer is the URL for the other members, Client the URL on which etcd listens for
	// clients, and Advertise the URL that it advertises to them: its proxy's.
	Peer      string `json:"peer_url"`
	Client    string `json:"client_url"`
	Advertise string `json:"advertise_url"`
}

// Defaults completes members that are given by name and host.
type Defaults struct {
	PeerScheme   string
	PeerPort     int
	ClientScheme string
	ProxyPort    int
	ListenClient string
}

// Members parses members written as name=host, or as name=peer+client+advertised with
// three URLs. The last URL is optional and defaults to the client URL.
func (d *Defaults) Members(list []string) ([]Member, error) {
	var all []Member
	seen := make(map[string]string)
	for _, text := range list {
		m, err := d.member(text)
		if err != nil {
			return nil, fmt.Errorf("member %q: %w", text, err)
		}
		for _, mine := range []string{m.Name, m.Peer} {
			if other, ok := seen[mine]; ok {
				return nil, fmt.Errorf("member %q: member %s already has %s", text, other, mine)
			}
			seen[mine] = m.Name
		}
		all = append(all, m)
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("--members names no member (hint: write it like --members conf1001=conf1001.example.org,conf1002=conf1002.example.org)")
	}
	return all, nil
}

func (d *Defaults) member(text string) (Member, error) {
	name, rest, ok := strings.Cut(text, "=")
	if !ok || cluster.CheckName(name) != nil {
		return Member{}, fmt.Errorf("it is not a valid NAME=HOST (hint: write it like conf1001=conf1001.example.org)")
	}
	m := Member{Name: name}
	if strings.Contains(rest, "://") {
		urls := strings.Split(rest, "+")
		if len(urls) < 2 || len(urls) > 3 {
			return Member{}, fmt.Errorf("it is not a valid NAME=PEER+CLIENT+ADVERTISED (hint: write it like conf1001=http://PEER:2380+http://CLIENT:2379+https://PROXY:4001)")
		}
		m.Peer, m.Client, m.Advertise = urls[0], urls[1], urls[len(urls)-1]
	} else {
		if host, ok := strings.CutPrefix(rest, "["); ok {
			// An IPv6 address in the form in which URLs contain it.
			if rest, ok = strings.CutSuffix(host, "]"); !ok || !strings.Contains(rest, ":") || net.ParseIP(rest) == nil {
				return Member{}, fmt.Errorf("[%s is not a valid IPv6 address in brackets (hint: write it like %s=[2001:db8::1] or %[2]s=2001:db8::1, without a port)", host, name)
			}
		}
		if net.ParseIP(rest) == nil && strings.Contains(rest, ":") {
			return Member{}, fmt.Errorf("%q is not a valid host (hint: write it without a port; to give ports write NAME=PEER+CLIENT+ADVERTISED with URLs)", rest)
		}
		m.Peer = d.PeerScheme + "://" + net.JoinHostPort(rest, strconv.Itoa(d.PeerPort))
		m.Client = d.ListenClient
		m.Advertise = d.ClientScheme + "://" + net.JoinHostPort(rest, strconv.Itoa(d.ProxyPort))
	}
	for _, u := range []string{m.Peer, m.Client, m.Advertise} {
		if err := CheckURL(u); err != nil {
			return Member{}, err
		}
	}
	return m, nil
}

var hostName = regexp.MustCompile(`^[A-Za-z0-9]([-.:_A-Za-z0-9]*[A-Za-z0-9])?$`)

// CheckURL returns an error unless a text is a URL of etcd: a scheme, a host and a port.
func CheckURL(text string) error {
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.User != nil || u.Path != "" ||
		u.RawQuery != "" || u.Fragment != "" || !isPort(u.Port()) || !hostName.MatchString(u.Hostname()) {
		return fmt.Errorf("%q is not a valid URL (hint: give a scheme, a host and a port, as in http://conf1001.example.org:2380)", text)
	}
	return nil
}

func isPort(text string) bool {
	port, err := strconv.ParseUint(text, 10, 16)
	return err == nil && port > 0
}

// Host returns the machine that the member runs on.
func (m *Member) Host() string { return parse(m.Peer).Hostname() }

func parse(text string) *url.URL {
	u, err := url.Parse(text)
	if err != nil {
		panic("BUG: it was checked: " + err.Error())
	}
	return u
}

// loopback reports whether a URL means another service on each machine.
func loopback(text string) bool {
	host := parse(text).Hostname()
	return host == "localhost" || net.ParseIP(host).IsLoopback()
}

// initialCluster writes members in the form of etcd's flag.
func initialCluster(all []Member) string {
	texts := make([]string, len(all))
	for i, m := range all {
		texts[i] = m.Name + "=" + m.Peer
	}
	return strings.Join(texts, ",")
}

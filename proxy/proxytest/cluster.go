package proxytest

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
)

// Member is one etcd of a cluster, as a process of its own or in this one.
type Member interface {
	// Name is its name in the cluster, URL where it listens for clients, whatever
	// it advertises, and PeerURL where the other members reach it.
	Name() string
	URL() string
	PeerURL() string
	// Start starts it again on its data and ports, and waits until it serves.
	Start() error
	// Close ends it, at once where it is a process. It can be closed twice.
	Close()

	launch() error
	waitHealthy() error
	joins(cluster, state string)
}

// ClusterOptions describes a cluster.
type ClusterOptions struct {
	// Etcd is the path of an installed etcd; without it the members are embedded.
	Etcd string
	// Dir is the folder of all members' data.
	Dir string
	// Advertise has a client URL for each member to tell others; "" is the one it
	// listens on.
	Advertise []string
	// Hasty lets members be added and removed at once; see Options.
	Hasty bool
}

// Cluster is members on loopback that know each other. They are called conf1001,
// conf1002 and so on.
type Cluster struct {
	Members []Member
	options ClusterOptions
	named   int
}

// NewCluster starts a cluster and waits until all its members serve. It is to be
// closed even if that fails.
func NewCluster(o ClusterOptions) (*Cluster, error) {
	c := &Cluster{options: o}
	for _, advertise := range o.Advertise {
		m, err := c.Newcomer(advertise)
		if err != nil {
			return c, err
		}
		c.Members = append(c.Members, m)
	}
	for _, m := range c.Members {
		m.joins(c.Initial(), "new")
		if err := m.launch(); err != nil {
			return c, err
		}
	}
	for _, m := range c.Members {
		if err := m.waitHealthy(); err != nil {
			return c, err
		}
	}
	return c, nil
}

// Newcomer is a member that has a name and ports, and is not started: whoever adds
// it to the cluster tells its peer URL, and lets it Join then.
func (c *Cluster) Newcomer(advertise string) (Member, error) {
	c.named++
	name := fmt.Sprintf("conf%d", 1000+c.named)
	o := Options{Dir: filepath.Join(c.options.Dir, name), Advertise: advertise, Hasty: c.options.Hasty}
	if c.options.Etcd == "" {
		return newEmbeddedMember(name, o)
	}
	return newProcess(c.options.Etcd, name, o)
}

// Join starts a newcomer that was added to the cluster, and waits until it serves.
func (c *Cluster) Join(m Member) error {
	c.Members = append(c.Members, m)
	m.joins(c.Initial(), "existing")
	if err := m.launch(); err != nil {
		return err
	}
	return m.waitHealthy()
}

// Left forgets a member that was removed from the cluster, and closes it.
func (c *Cluster) Left(m Member) {
	var stay []Member
	for _, other := range c.Members {
		if other != m {
			stay = append(stay, other)
		}
	}
	c.Members = stay
	m.Close()
}

// Initial is the cluster as etcd's flags have it: name=peer,name=peer.
func (c *Cluster) Initial() string {
	all := make([]string, len(c.Members))
	for i, m := range c.Members {
		all[i] = m.Name() + "=" + m.PeerURL()
	}
	return strings.Join(all, ",")
}

// URLs are where the members listen for clients.
func (c *Cluster) URLs() []string {
	all := make([]string, len(c.Members))
	for i, m := range c.Members {
		all[i] = m.URL()
	}
	return all
}

// Leader is the member that leads now.
func (c *Cluster) Leader() (Member, error) {
	for _, m := range c.Members {
		if leads(m.URL()) {
			return m, nil
		}
	}
	return nil, errors.New("no member leads")
}

// Follower is a member that does not lead.
func (c *Cluster) Follower() (Member, error) {
	leader, err := c.Leader()
	if err != nil {
		return nil, err
	}
	for _, m := range c.Members {
		if m != leader {
			return m, nil
		}
	}
	return nil, errors.New("no member follows")
}

// Close ends all members.
func (c *Cluster) Close() {
	for _, m := range c.Members {
		m.Close()
	}
}

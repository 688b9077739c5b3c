package proxytest

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
)

// Member is one etcd of a cluster, either a process or embedded.
type Member interface {
	// Name is the name in the cluster. URL is where the member listens for clients, which
	// may differ from what it advertises. PeerURL is where other members reach it.
	Name() string
	URL() string
	PeerURL() string
	// Start restarts the member with its data and ports, and waits until it serves.
	Start() error
	// Close stops the member; a process is killed. Close may be called twice.
	Close()

	launch() error
	waitHealthy() error
	joins(cluster, state string)
}

// ClusterOptions describes a cluster.
type ClusterOptions struct {
	// Etcd is the path of an installed etcd. If it is "", the members are embedded.
	Etcd string
	// Dir is the folder of all members' data.
	Dir string
	// Advertise has the client URL that each member advertises; "" means the one it
	// listens on.
	Advertise []string
	// Hasty lets members be added and removed at once; see Options.
	Hasty bool
	// NoV2 leaves the v2 API out; see Options.
	NoV2 bool
}

// Cluster is a cluster of members on loopback, named conf1001, conf1002 and so on.
type Cluster struct {
	Members []Member
	options ClusterOptions
	named   int
}

// NewCluster starts a cluster and waits until all its members serve. The caller
// must close it even after an error.
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

// Newcomer returns a member that has a name and ports but is not started. The caller adds
// its peer URL to the cluster and then calls Join.
func (c *Cluster) Newcomer(advertise string) (Member, error) {
	c.named++
	name := fmt.Sprintf("conf%d", 1000+c.named)
	o := Options{Dir: filepath.Join(c.options.Dir, name), Advertise: advertise, Hasty: c.options.Hasty, NoV2: c.options.NoV2}
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

// Left closes a member that was removed from the cluster, and drops it from the list.
func (c *Cluster) Left(m Member) {
	var remaining []Member
	for _, other := range c.Members {
		if other != m {
			remaining = append(remaining, other)
		}
	}
	c.Members = remaining
	m.Close()
}

// Initial returns the cluster in the form of etcd's flags: name=peer,name=peer.
func (c *Cluster) Initial() string {
	all := make([]string, len(c.Members))
	for i, m := range c.Members {
		all[i] = m.Name() + "=" + m.PeerURL()
	}
	return strings.Join(all, ",")
}

// URLs returns the URLs at which the members listen for clients.
func (c *Cluster) URLs() []string {
	all := make([]string, len(c.Members))
	for i, m := range c.Members {
		all[i] = m.URL()
	}
	return all
}

// Leader returns the current leader.
func (c *Cluster) Leader() (Member, error) {
	for _, m := range c.Members {
		if leads(m.URL()) {
			return m, nil
		}
	}
	return nil, errors.New("no member leads")
}

// Follower returns a member that is not the leader.
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

// Close stops all members.
func (c *Cluster) Close() {
	for _, m := range c.Members {
		m.Close()
	}
}

package faults

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"

	"etcd-tlsproxy/proxy/proxytest"
)

// The networks between the machines. Each machine has a member and its proxy.
const (
	peers   = iota // the members, of each other
	stores         // the members, for the proxies and the test
	proxies        // the proxies, for the clients
	networks
)

// ports are those of the servers in each network.
var ports = [networks]int{peers: 2380, stores: 2379, proxies: 4001}

// machine has an address in each network, and perhaps a namespace of its own.
type machine struct {
	number    int
	addresses [networks]string
	namespace *os.File // nil if there is none
}

// newMachines returns machines with namespaces, joined by a bridge for each network. If there can be none,
// their addresses are on loopback, and why says why.
func newMachines(n int) (all []*machine, why string, err error) {
	if state := os.Getenv(inNamespace); state != "yes" {
		for i := range n {
			m := &machine{number: i}
			for network := range m.addresses {
				if m.addresses[network], err = proxytest.FreeAddress(); err != nil {
					return nil, "", err
				}
			}
			all = append(all, m)
		}
		return all, state, nil
	}
	if err := ip("link set lo up"); err != nil {
		return nil, "", err
	}
	for network := range networks {
		bridge := fmt.Sprint("bridge", network)
		if err := errors.Join(ip("link add %s type bridge", bridge), ip("address add 10.77.%d.1/24 dev %s", network, bridge), ip("link set %s up", bridge)); err != nil {
			return nil, "", err
		}
	}
	for i := range n {
		m := &machine{number: i}
		all = append(all, m)
		if err := m.connect(); err != nil {
			return all, "", err
		}
	}
	return all, "", nil
}

// removeMachines removes the namespaces and the networks.
func removeMachines(all []*machine) (err error) {
	for network := range networks {
		for _, m := range all {
			if m.namespace != nil {
				err = errors.Join(err, ip("link delete %s", m.port(network)))
			}
		}
		if os.Getenv(inNamespace) == "yes" {
			err = errors.Join(err, ip("link delete bridge%d", network))
		}
	}
	for _, m := range all {
		if m.namespace != nil {
			err = errors.Join(err, m.namespace.Close())
		}
	}
	return err
}

// connect makes the namespace of a machine, and connects it with the bridges.
func (m *machine) connect() (err error) {
	if m.namespace, err = newNamespace(); err != nil {
		return err
	}
	// Otherwise a connection needs as long again after a cut. Old kernels have no such setting.
	if err := m.run(func() error { return os.WriteFile("/proc/sys/net/ipv4/tcp_rto_max_ms", []byte("1000"), 0) }); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	for network := range networks {
		host := fmt.Sprintf("10.77.%d.%d", network, 10+m.number)
		m.addresses[network] = fmt.Sprintf("%s:%d", host, ports[network])
		err := errors.Join(
			ip("link add %s type veth peer name net%d netns /proc/%d/fd/%d", m.port(network), network, os.Getpid(), m.namespace.Fd()),
			m.attach(network), ip("link set %s up", m.port(network)),
			m.run(func() error {
				return errors.Join(ip("link set lo up"), ip("address add %s/24 dev net%d", host, network), ip("link set net%d up", network))
			}))
		if err != nil {
			return err
		}
	}
	return nil
}

// port returns the name of the bridge's port to which the machine is connected.
func (m *machine) port(network int) string { return fmt.Sprintf("port%d-%d", network, m.number) }

func (m *machine) attach(network int) error {
	return ip("link set %s master bridge%d", m.port(network), network)
}

// cut disconnects the machine from networks. What it sends there is lost.
func (m *machine) cut(from ...int) (err error) {
	for _, network := range from {
		err = errors.Join(err, ip("link set %s nomaster", m.port(network)))
	}
	return err
}

// mend connects it again.
func (m *machine) mend(to ...int) (err error) {
	for _, network := range to {
		err = errors.Join(err, m.attach(network))
	}
	return err
}

// run runs a function in the namespace of the machine, as do the processes that it starts.
func (m *machine) run(do func() error) error {
	if m.namespace == nil {
		return do()
	}
	runtime.LockOSThread()
	own, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		return err
	}
	defer own.Close()
	if err := unix.Setns(int(m.namespace.Fd()), unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("entering a namespace: %w", err)
	}
	err = do()
	if back := unix.Setns(int(own.Fd()), unix.CLONE_NEWNET); back != nil {
		return fmt.Errorf("leaving a namespace: %w", back) // the thread ends with its goroutine
	}
	runtime.UnlockOSThread()
	return err
}

// newNamespace makes a namespace, which lasts until the file is closed and its processes have ended.
func newNamespace() (*os.File, error) {
	var made *os.File
	this, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		return nil, err
	}
	err = (&machine{namespace: this}).run(func() (err error) {
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("making a namespace: %w", err)
		}
		made, err = os.Open("/proc/thread-self/ns/net")
		return err
	})
	return made, errors.Join(err, this.Close())
}

func ip(format string, args ...any) error {
	command := fmt.Sprintf(format, args...)
	if out, err := exec.Command("ip", strings.Fields(command)...).CombinedOutput(); err != nil {
		return fmt.Errorf("ip %s: %w: %s", command, err, out)
	}
	return nil
}

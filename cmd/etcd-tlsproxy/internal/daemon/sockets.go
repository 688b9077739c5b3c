package daemon

import (
	"errors"
	"fmt"
	"net"
	"syscall"

	"github.com/coreos/go-systemd/v22/activation"

	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/config"
)

// sockets are the listeners of the service: the sockets that the service manager
// passes, or else the addresses of the configuration. The manager's sockets outlive
// the process, so that connections wait during an upgrade instead of being refused.
type sockets struct {
	front     []net.Listener
	admin     net.Listener
	inherited int // the number of the manager's sockets
}

// adminSocket is the FileDescriptorName= of the manager's socket for the admin
// address. All others are for clients.
const adminSocket = "admin"

func openSockets(c *config.Config) (*sockets, error) {
	s := &sockets{}
	if err := s.open(c); err != nil {
		return nil, errors.Join(err, s.close())
	}
	return s, nil
}

func (s *sockets) open(c *config.Config) error {
	for _, file := range activation.Files(true) {
		listener, err := net.FileListener(file)
		if err := errors.Join(err, file.Close()); err != nil {
			return fmt.Errorf("listening on the service manager's socket %q: %w (hint: define it with ListenStream=)", file.Name(), err)
		}
		s.inherited++
		switch {
		case file.Name() != adminSocket:
			s.front = append(s.front, listener)
		case s.admin == nil:
			s.admin = listener
		default:
			return errors.Join(fmt.Errorf("the service manager passes more than one socket with the name %q, want at most one", adminSocket), listener.Close())
		}
	}
	if s.front == nil {
		listener, err := net.Listen("tcp", c.Listen)
		if err != nil {
			return fmt.Errorf("listening at the address of the key listen: %w%s", err, inUse(err, "listen"))
		}
		s.front = append(s.front, listener)
	}
	if s.admin == nil {
		var err error
		if s.admin, err = net.Listen("tcp", c.Admin); err != nil {
			return fmt.Errorf("listening at the address of the key admin: %w%s", err, inUse(err, "admin"))
		}
	}
	return nil
}

// inUse returns a hint for an address that another process listens at.
func inUse(err error, key string) string {
	if !errors.Is(err, syscall.EADDRINUSE) {
		return ""
	}
	return " (hint: ss -tlnp shows the process that listens there; it may be an older one of this service, or change the key " + key + ")"
}

// addresses returns the addresses for clients.
func (s *sockets) addresses() (all []string) {
	for _, listener := range s.front {
		all = append(all, listener.Addr().String())
	}
	return all
}

func (s *sockets) close() error {
	var errs []error
	for _, listener := range s.front {
		errs = append(errs, listener.Close())
	}
	if s.admin != nil {
		errs = append(errs, s.admin.Close())
	}
	return errors.Join(errs...)
}

package main

import (
	"errors"
	"fmt"
	"net"

	"github.com/coreos/go-systemd/v22/activation"
)

// sockets are where the service listens: on what the service manager opened for it, or
// else on the addresses of the configuration. The manager's sockets outlive the process,
// so that while one follows another connections wait instead of being refused.
type sockets struct {
	front     []net.Listener
	admin     net.Listener
	inherited int // how many are the manager's
}

// adminSocket is the FileDescriptorName= of the manager's socket for the admin; all others
// are for clients.
const adminSocket = "admin"

func openSockets(config *Config) (*sockets, error) {
	s := &sockets{}
	if err := s.open(config); err != nil {
		return nil, errors.Join(err, s.close())
	}
	return s, nil
}

func (s *sockets) open(config *Config) error {
	for _, file := range activation.Files(true) {
		listener, err := net.FileListener(file)
		if err := errors.Join(err, file.Close()); err != nil {
			return fmt.Errorf("the service manager's socket %q cannot be listened on; it should be of ListenStream=: %w", file.Name(), err)
		}
		s.inherited++
		switch {
		case file.Name() != adminSocket:
			s.front = append(s.front, listener)
		case s.admin == nil:
			s.admin = listener
		default:
			return errors.Join(fmt.Errorf("the service manager has more than one socket with the name %q", adminSocket), listener.Close())
		}
	}
	if s.front == nil {
		listener, err := net.Listen("tcp", config.Listen)
		if err != nil {
			return fmt.Errorf("listening: %w", err)
		}
		s.front = append(s.front, listener)
	}
	if s.admin == nil {
		var err error
		if s.admin, err = net.Listen("tcp", config.Admin); err != nil {
			return fmt.Errorf("listening for the admin: %w", err)
		}
	}
	return nil
}

// addresses are those of the front, as text.
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

package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"syscall"
	"time"

	"github.com/coreos/go-systemd/v22/activation"
	systemd "github.com/coreos/go-systemd/v22/daemon"

	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/config"
)

// manager is the service manager, which follows the state of the service. Without
// one its methods do nothing.
type manager struct {
	log *slog.Logger
}

func (m *manager) notify(state string) {
	if _, err := systemd.SdNotify(false, state); err != nil {
		m.log.Warn("notifying the service manager failed", "error", err)
	}
}

// serving reports that a start or a reload has ended, with its error.
func (m *manager) serving(err error) {
	status := "serving"
	if err != nil {
		status = "serving; the last reload failed, and what is wrong is in force as before"
	}
	m.notify(systemd.SdNotifyReady + "\nSTATUS=" + status)
}

// reloading must be followed by serving.
func (m *manager) reloading() {
	m.notify(systemd.SdNotifyReloading + "\n" + systemd.SdNotifyMonotonicUsec())
}

func (m *manager) stopping() { m.notify(systemd.SdNotifyStopping + "\nSTATUS=draining") }

// watchdog reports to the manager that the service is alive for as long as the
// admin address answers. It does not probe the addresses for clients: a service that
// is busy there must not be killed. If the address is secured, TLS or a password are wanted
// that this program does not have, and a refusal is an answer, too.
func (m *manager) watchdog(ctx context.Context, admin net.Addr, secured bool) error {
	interval, err := systemd.SdWatchdogEnabled(false)
	if err != nil {
		return fmt.Errorf("reading the service manager's watchdog interval: %w", err)
	}
	if interval == 0 {
		return nil
	}
	// systemd recommends to report at half of the interval.
	ticker := time.NewTicker(interval / 2)
	defer ticker.Stop()
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, admin.Network(), admin.String())
	}
	client := &http.Client{Timeout: interval / 2, Transport: &http.Transport{DisableKeepAlives: true, DialContext: dial}}
	for {
		if err := probe(ctx, client, secured); err == nil {
			m.notify(systemd.SdNotifyWatchdog)
		} else if ctx.Err() == nil {
			m.log.Error("the admin address of this service does not answer", "error", err)
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return nil
		}
	}
}

func probe(ctx context.Context, client *http.Client, secured bool) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://admin/-/healthy", nil)
	if err != nil {
		return err
	}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusOK && !secured {
		return fmt.Errorf("/-/healthy returned %s, want 200", resp.Status)
	}
	return nil
}

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

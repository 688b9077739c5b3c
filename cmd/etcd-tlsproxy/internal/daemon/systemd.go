package daemon

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	systemd "github.com/coreos/go-systemd/v22/daemon"
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

package main

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
)

// manager is the service manager, which wants to know what the service does. Where
// there is none, nobody is told.
type manager struct {
	log *slog.Logger
}

func (m *manager) tell(state string) {
	if _, err := daemon.SdNotify(false, state); err != nil {
		m.log.Warn("the service manager was not told", "error", err)
	}
}

func (m *manager) serving(err error) {
	status := "serving"
	if err != nil {
		status = "serving with the old configuration: the files on disk are not good"
	}
	m.tell(daemon.SdNotifyReady + "\nSTATUS=" + status)
}

// reloading must be followed by serving.
func (m *manager) reloading() {
	m.tell(daemon.SdNotifyReloading + "\n" + daemon.SdNotifyMonotonicUsec())
}

func (m *manager) stopping() { m.tell(daemon.SdNotifyStopping + "\nSTATUS=draining") }

// watchdog tells the manager that the service is alive, if it wants to know, for as long
// as the admin address answers. Clients may find the service busy; that is no reason to
// end it.
func (m *manager) watchdog(ctx context.Context, admin net.Addr) error {
	every, err := daemon.SdWatchdogEnabled(false)
	if err != nil {
		return fmt.Errorf("the watchdog of the service manager: %w", err)
	}
	if every == 0 {
		return nil
	}
	// Twice while the manager waits once, as it asks for.
	ticker := time.NewTicker(every / 2)
	defer ticker.Stop()
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, admin.Network(), admin.String())
	}
	client := &http.Client{Timeout: every / 2, Transport: &http.Transport{DisableKeepAlives: true, DialContext: dial}}
	for {
		if err := healthy(ctx, client); err == nil {
			m.tell(daemon.SdNotifyWatchdog)
		} else if ctx.Err() == nil {
			m.log.Error("the service does not answer itself", "error", err)
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return nil
		}
	}
}

func healthy(ctx context.Context, client *http.Client) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://admin/-/healthy", nil)
	if err != nil {
		return err
	}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("/-/healthy answers %s", resp.Status)
	}
	return nil
}

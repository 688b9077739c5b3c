package daemon

import (
	"errors"
	"fmt"
	"net/http"

	"github.com/prometheus/exporter-toolkit/web"

	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/config"
	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/files"
	"etcd-tlsproxy/proxy/rawio"
)

// checkAdminWeb checks the file that gives the admin address TLS and users.
func checkAdminWeb(disk *files.Reader, errs *config.Errors, name string) {
	if name == "" {
		return
	}
	if err := web.Validate(disk.Path(name)); err != nil {
		errs.Add(fmt.Sprintf("%s: %v", name, err), "the file has the web configuration format of Prometheus' exporters", "admin_web_config")
	}
}

// serveAdmin serves the admin address until the service ends. web reads its file again for
// each connection.
func (s *service) serveAdmin() error {
	// Many probes leave Nagle's algorithm on, and would wait 40 ms for an acknowledgment.
	listener := rawio.AckListener{Listener: s.sockets.admin}
	serve := func() error { return s.admin.Serve(listener) }
	if s.config.AdminWebConfig != "" {
		file := s.reloader.loader.disk().Path(s.config.AdminWebConfig)
		serve = func() error {
			return web.Serve(listener, s.admin, &web.FlagConfig{WebConfigFile: &file}, s.logs.service)
		}
	}
	if err := serve(); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serving the admin address: %w", err)
	}
	return nil
}

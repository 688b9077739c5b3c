package daemon

import (
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/go-chi/chi/v5"
	"github.com/go-chi/chi/v5/middleware"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/prometheus/exporter-toolkit/web"

	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/config"
	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/files"
	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/statuspage"
	"etcd-tlsproxy/proxy/rawio"
)

// adminOptions describes what the admin address serves.
type adminOptions struct {
	registry  *prometheus.Registry
	ready     func() error
	readyEtcd func() error // like ready, and etcd must be available
	reload    func() error
	pending   func() []string // settings that wait for a restart
	checkLogs func() error    // reports logs that are not at their paths
	empty     func(on bool)
	page      *statuspage.Page
	explain   http.Handler
	profiles  bool
	// config writes the configuration that is in force.
	config func(io.Writer) error
}

// adminHandler returns the handler of the admin address, which is for the tools of this
// host. Its actions are a reload, which applies only what the files contain, and to make
// clients leave.
func adminHandler(o *adminOptions) http.Handler {
	r := chi.NewRouter()
	r.Use(middleware.SetHeader("X-Content-Type-Options", "nosniff"))
	// A page of another origin in an operator's browser must not start anything.
	r.Use(http.NewCrossOriginProtection().Handler)
	// Load balancers call these two by any name. Their answers are of no use to others.
	r.Get("/-/healthy", func(w http.ResponseWriter, _ *http.Request) { writeText(w, http.StatusOK, "healthy") })
	r.Get("/-/ready", func(w http.ResponseWriter, r *http.Request) {
		ready := o.ready
		if r.URL.Query().Has("etcd") {
			ready = o.readyEtcd
		}
		if err := ready(); err != nil {
			writeText(w, http.StatusServiceUnavailable, err.Error())
			return
		}
		writeText(w, http.StatusOK, "ready")
	})
	r.Group(func(r chi.Router) {
		r.Use(o.page.Guard)
		r.Method(http.MethodGet, "/metrics", promhttp.HandlerFor(o.registry, promhttp.HandlerOpts{Registry: o.registry}))
		r.Method(http.MethodGet, "/-/explain", o.explain)
		r.Get("/-/config", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/plain; charset=utf-8")
			_ = o.config(w) // the client may have closed the connection
		})
		r.Post("/-/reload", func(w http.ResponseWriter, _ *http.Request) {
			status, text := http.StatusOK, "reloaded"
			if err := o.reload(); err != nil {
				status, text = http.StatusInternalServerError, reloadFailed(err)+":\n"+err.Error()
			}
			if err := o.checkLogs(); err != nil {
				status, text = http.StatusInternalServerError, text+"\nbut a log is not at its path: "+err.Error()
			}
			for _, setting := range o.pending() {
				text += "\na changed setting waits for a restart: " + setting
			}
			writeText(w, status, text)
		})
		r.Post("/-/drain", func(w http.ResponseWriter, r *http.Request) {
			on, off := r.URL.Query().Has("on"), r.URL.Query().Has("off")
			if on == off {
				writeText(w, http.StatusBadRequest, "want /-/drain?on or /-/drain?off")
				return
			}
			o.empty(on)
			if off {
				writeText(w, http.StatusOK, "serving")
				return
			}
			writeText(w, http.StatusOK, "emptying: not ready; idle connections end at once, and others with their next answer")
		})
		if o.profiles {
			r.Mount("/debug", middleware.Profiler())
		}
		r.Method(http.MethodGet, "/", http.RedirectHandler("/-/status", http.StatusFound))
	})
	r.Method(http.MethodGet, "/-/status", o.page.HTML())
	r.Method(http.MethodGet, "/-/status.json", o.page.JSON())
	return r
}

func writeText(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, text+"\n") // the client may have closed the connection
}

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

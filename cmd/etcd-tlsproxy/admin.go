package main

import (
	"io"
	"net/http"

	"github.com/go-chi/chi/v5"
	"github.com/go-chi/chi/v5/middleware"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/statuspage"
)

// newAdmin is the handler of the admin listener: plain HTTP, for this host's own
// tools. It changes nothing but what the files on disk already say.
func newAdmin(registry *prometheus.Registry, ready, reload func() error, page *statuspage.Page, explain http.Handler) http.Handler {
	r := chi.NewRouter()
	r.Use(middleware.SetHeader("X-Content-Type-Options", "nosniff"))
	// A page that an operator's browser shows may not ask for a reload.
	r.Use(http.NewCrossOriginProtection().Handler)
	r.Method(http.MethodGet, "/metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{Registry: registry}))
	r.Get("/-/healthy", func(w http.ResponseWriter, _ *http.Request) { say(w, http.StatusOK, "healthy") })
	r.Get("/-/ready", func(w http.ResponseWriter, _ *http.Request) {
		if err := ready(); err != nil {
			say(w, http.StatusServiceUnavailable, err.Error())
			return
		}
		say(w, http.StatusOK, "ready")
	})
	r.Method(http.MethodGet, "/-/explain", page.Guard(explain))
	r.Post("/-/reload", func(w http.ResponseWriter, _ *http.Request) {
		if err := reload(); err != nil {
			say(w, http.StatusInternalServerError, "not reloaded, the old state serves on:\n"+err.Error())
			return
		}
		say(w, http.StatusOK, "reloaded")
	})
	r.Method(http.MethodGet, "/-/status", page.HTML())
	r.Method(http.MethodGet, "/-/status.json", page.JSON())
	r.Method(http.MethodGet, "/", http.RedirectHandler("/-/status", http.StatusFound))
	return r
}

func say(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, text+"\n") // a client that left needs no answer
}

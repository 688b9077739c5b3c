package proxy

import (
	"io"
	"net/http/httptest"
	"strings"

	"github.com/prometheus/client_golang/prometheus/promhttp"
)

func scrape(f *front) string {
	w := httptest.NewRecorder()
	promhttp.HandlerFor(f.metrics.Registry, promhttp.HandlerOpts{}).ServeHTTP(w, httptest.NewRequest("GET", "/", nil))
	b, _ := io.ReadAll(w.Body)
	return string(b)
}

func timeouts(f *front) int {
	for _, l := range strings.Split(scrape(f), "\n") {
		if strings.HasPrefix(l, `etcd_tlsproxy_upstream_failures_total{kind="timeout"}`) && !strings.HasSuffix(l, " 0") && !strings.HasSuffix(l, " 1") && !strings.HasSuffix(l, " 2") {
			return 3
		}
	}
	return 0
}

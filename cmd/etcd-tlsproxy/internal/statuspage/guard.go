package statuspage

import (
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
)

// Guard keeps other sites' pages from reading what a handler tells through an
// operator's browser.
func (p *Page) Guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "DENY")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cache-Control", "no-store")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		switch {
		case !p.isOwnName(r.Host):
			// A name of an attacker's, which their DNS first led to their page and
			// then to this address: the browser takes both for one site.
			refuse(w, http.StatusMisdirectedRequest, "this machine is not known by that name (hint: use its address, localhost, or a name in the server's certificate)")
		case isCrossSite(r):
			refuse(w, http.StatusForbidden, "another site's page may not read this")
		default:
			next.ServeHTTP(w, r)
		}
	})
}

func refuse(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, text+"\n")
}

func (p *Page) isOwnName(host string) bool {
	name := host
	if bare, _, err := net.SplitHostPort(host); err == nil {
		name = bare
	}
	name = strings.TrimSuffix(strings.ToLower(strings.Trim(name, "[]")), ".")
	if _, err := netip.ParseAddr(name); err == nil || name == "localhost" {
		return true
	}
	return name != "" && p.options.KnownHost(name)
}

// foreign reports whether a browser says that another site asks. To follow a link from
// there is allowed; the page then is its own.
func isCrossSite(r *http.Request) bool {
	switch r.Header.Get("Sec-Fetch-Site") {
	case "", "none", "same-origin":
		return false
	}
	return r.Header.Get("Sec-Fetch-Mode") != "navigate"
}

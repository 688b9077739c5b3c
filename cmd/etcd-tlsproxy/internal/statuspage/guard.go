package statuspage

import (
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
)

// Guard prevents pages of other sites from reading the responses of a handler through an
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
			// DNS rebinding: the attacker's name first points to their page and then
			// to this address, and the browser treats both as one site.
			refuse(w, http.StatusMisdirectedRequest, "this machine does not have that name (hint: use its address, localhost, a name in the server's certificate, or one of admin_names)")
		case isCrossSite(r):
			refuse(w, http.StatusForbidden, "pages of other sites cannot read this")
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

// isCrossSite reports whether a browser sends the request for a page of another site. A
// navigation from there is allowed, because it opens this page on its own.
func isCrossSite(r *http.Request) bool {
	switch r.Header.Get("Sec-Fetch-Site") {
	case "", "none", "same-origin":
		return false
	}
	return r.Header.Get("Sec-Fetch-Mode") != "navigate"
}

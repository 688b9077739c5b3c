package proxy

import (
	"net/http"
	"strconv"
	"strings"

	"etcd-tlsproxy/proxy/http1"
)

// copyHeader hands etcd's header on, spelled as etcd spells it: PyBal looks for
// X-Etcd-Index in exactly this case. Dropped are the fields that belong to the
// connection, and those that would open the API to any web page.
func copyHeader(h http.Header, fields []http1.Field, length int64) {
	for _, f := range fields {
		if !connectionField(f.Name) {
			// Clone: the views end with the response, the header may be sent later.
			name := strings.Clone(f.Name)
			h[name] = append(h[name], strings.Clone(f.Value))
		}
	}
	if h["Content-Type"] == nil {
		h["Content-Type"] = nil // net/http would guess one from the body
	}
	if length >= 0 {
		h["Content-Length"] = []string{strconv.FormatInt(length, 10)}
	}
}

// connectionFields belong to etcd's connection, or to the framing of its message.
var connectionFields = [...]string{"Connection", "Keep-Alive", "Proxy-Connection", "Te", "Trailer", "Transfer-Encoding", "Upgrade", "Content-Length"}

func connectionField(name string) bool {
	for _, field := range connectionFields {
		if strings.EqualFold(name, field) {
			return true
		}
	}
	const cors = "Access-Control-"
	return len(name) > len(cors) && strings.EqualFold(name[:len(cors)], cors)
}

package std

import "net/http"

// expectsContinue reports whether a client of HTTP/1.1 waits for a 100 Continue before it sends
// its body. The strictConn leaves the name of the field, without its value. On HTTP/2 net/http
// sends the 100 Continue.
func expectsContinue(r *http.Request) bool {
	return r.ProtoMajor == 1 && r.ProtoMinor == 1 && r.ContentLength != 0 && len(r.Header["Expect"]) > 0
}

// askForBody sends the 100 Continue that a client waits for.
func askForBody(w http.ResponseWriter, r *http.Request) {
	if expectsContinue(r) {
		w.WriteHeader(http.StatusContinue)
	}
}

package check

import (
	"strings"

	"etcd-tlsproxy/cmd/etcd-tlsproxy-soak/internal/transport"
)

// RefusedMark is part of each key and value that must never reach etcd.
const RefusedMark = "refused"

// Refused looks for traces of refused requests in everything that the v2 API can change.
func Refused(findings *Findings, etcdURL string) error {
	for _, path := range []string{"/v2/keys/?recursive=true&quorum=true", "/v2/members", "/v2/auth/users"} {
		body, err := transport.GetFromEtcd(etcdURL, path)
		if err != nil {
			return err
		}
		if at := strings.Index(string(body), RefusedMark); at >= 0 {
			findings.GhostWrite("end", "%s contains a trace of a refused request: %.200q", path, body[max(0, at-50):])
		}
	}
	return nil
}

package main

import (
	"fmt"

	"etcd-tlsproxy/cmd/etcd-tlsproxy-soak/internal/transport"
)

// checkShadow checks what the proxy has compared with its shadow, when the clients have stopped: it follows, has
// compared reads and writes, and has found no difference.
func (s *soak) checkShadow() (err error) {
	s.waitFor("the shadow follows", transport.Timeout, func() error {
		if s.shadow, err = s.proxy.Shadow(); err != nil {
			return err
		}
		if !s.shadow.Following || s.shadow.Waiting > 0 {
			return fmt.Errorf("it follows: %t, and %d events wait", s.shadow.Following, s.shadow.Waiting)
		}
		return nil
	})
	if s.shadow == nil {
		return err
	}
	for kind, n := range s.shadow.Differences {
		s.findings.Mismatch("end", "answers of the v2 API differ from those of the shadow %d times in their %s; the log of the proxy has some", n, kind)
	}
	if s.shadow.Compared["read"] == 0 || s.shadow.Compared["write"] == 0 {
		s.findings.Mismatch("end", "compared with the shadow: %v and skipped %v, want reads and writes compared", s.shadow.Compared, s.shadow.Skipped)
	}
	return nil
}

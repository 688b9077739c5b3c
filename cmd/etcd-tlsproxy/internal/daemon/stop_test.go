package daemon_test

import (
	"strings"
	"testing"
)

func TestAStopIsTheLastLineOfTheAuditLog(t *testing.T) {
	s := startAudited(t)
	for range 3 {
		s.wantWrite("conftool", "wrong", 401) // equal refusals, of which the last two are only counted so far
	}
	s.Close()
	lines := strings.Split(strings.TrimSpace(s.Read("audit.log")), "\n")
	last := len(lines) - 1
	if last < 1 || !strings.Contains(lines[last], `"msg":"stop"`) || !strings.Contains(lines[last-1], `"times":2`) {
		t.Errorf("the audit log after a stop: got\n%s\nwant the count of the refusals and then the stop", strings.Join(lines, "\n"))
	}
}

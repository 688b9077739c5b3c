package check

import (
	"bufio"
	"encoding/json"
	"errors"
	"os"
	"strings"

	"etcd-tlsproxy/cmd/etcd-tlsproxy-soak/internal/transport"
)

// Audit checks an audit log that was moved away: each line must be complete, and none may contain a
// password. It removes the file, so that long runs do not fill the disk.
func Audit(findings *Findings, path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	n := 0
	for ; lines.Scan(); n++ {
		var line map[string]any
		if err := json.Unmarshal(lines.Bytes(), &line); err != nil {
			findings.Mismatch("audit log", "line %d is not a whole JSON object: %.300q", n+1, lines.Text())
		}
		for _, password := range transport.Passwords {
			if strings.Contains(lines.Text(), password) {
				findings.Mismatch("audit log", "line %d contains a password", n+1)
			}
		}
	}
	findings.CountAuditLines(n)
	return errors.Join(lines.Err(), os.Remove(path))
}

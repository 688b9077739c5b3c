package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"os"
	"strings"
)

// checkAudit reads a log that was moved away: each line must be whole, and none may
// hold a value or a password. Then it is removed, so that long runs fill no disk.
func (s *soak) checkAudit(name string) error {
	f, err := os.Open(s.path(name))
	if err != nil {
		return err
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	n := 0
	for ; lines.Scan(); n++ {
		var line map[string]any
		if err := json.Unmarshal(lines.Bytes(), &line); err != nil {
			s.tally.mismatch("audit log", "line %d is not whole: %.300q", n+1, lines.Text())
		}
		for _, secret := range passwords {
			if strings.Contains(lines.Text(), secret) {
				s.tally.mismatch("audit log", "line %d holds a password", n+1)
			}
		}
	}
	s.tally.audited(n)
	return errors.Join(lines.Err(), os.Remove(s.path(name)))
}

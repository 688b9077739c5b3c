package check

import "strings"

// RefusedMark is part of each key and value that must never reach etcd.
const RefusedMark = "refused"

// Refused looks for traces of refused requests in everything that clients can change.
func Refused(findings *Findings, content Content) error {
	all, err := content.Everything()
	if err != nil {
		return err
	}
	for place, text := range all {
		if at := strings.Index(text, RefusedMark); at >= 0 {
			findings.GhostWrite("end", "%s contains a trace of a refused request: %.200q", place, text[max(0, at-50):])
		}
	}
	return nil
}

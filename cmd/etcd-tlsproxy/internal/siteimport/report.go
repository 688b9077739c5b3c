package siteimport

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"strings"

	"etcd-tlsproxy/acl"
)

// Report is the result of an import.
type Report struct {
	// Config is the configuration.
	Config string `json:"config"`
	// File is the file it was written to, if any.
	File      string   `json:"file,omitempty"`
	Assumed   []string `json:"assumed"`
	Conflicts []string `json:"conflicts"`
	// Differences lists all requests whose outcome will differ.
	Differences []Difference `json:"differences"`
}

// Report writes the configuration and compares it with the site.
func (s *Site) Report(match acl.Match) (*Report, error) {
	differences, err := s.Differences(match)
	if err != nil {
		return nil, err
	}
	conflicts := append([]string{}, s.Conflicts...)
	if s.nginx != nil {
		rules, err := s.rules(match)
		if err != nil {
			return nil, err
		}
		conflicts = append(conflicts, s.openings(rules)...)
	}
	if strings.Contains(s.Certificates[0], "%{") {
		s.Assumed = append(s.Assumed, "cert_name contains %{::domain}: give --domain, or complete the paths in [tls]")
	}
	return &Report{
		Config: s.Config(match), Differences: differences, Assumed: append([]string{}, s.Assumed...), Conflicts: conflicts,
	}, nil
}

// WriteFindings writes everything except the configuration for people.
func (r *Report) WriteFindings(w io.Writer) error {
	var b strings.Builder
	for _, what := range r.Assumed {
		fmt.Fprintf(&b, "assumed: %s\n", what)
	}
	for _, what := range r.Conflicts {
		fmt.Fprintf(&b, "conflict: %s\n", what)
	}
	fmt.Fprintf(&b, "what will differ, by kind:\n")
	for i, d := range r.Differences {
		if i == 0 || r.Differences[i-1].Class != d.Class || r.Differences[i-1].Why != d.Why {
			fmt.Fprintf(&b, "\n%s: %s\n", d.Class, d.Why)
		}
		fmt.Fprintf(&b, "  %s: %s%s", d.Effect, d.What, d.audience())
		if len(d.Rules) > 0 {
			fmt.Fprintf(&b, "; by rule %s", strings.Join(d.Rules, ", "))
		}
		b.WriteByte('\n')
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// audience says for whom the outcome differs.
func (d *Difference) audience() string {
	switch {
	case d.Everyone && len(d.But) > 0:
		return ", for everyone except " + strings.Join(d.But, ", ")
	case d.Everyone:
		return ", for everyone"
	case len(d.Users) > 0:
		return ", for " + strings.Join(d.Users, ", ")
	}
	return ""
}

// ReadPools reads names of the form dc/cluster, one in each line.
func ReadPools(data []byte) []string {
	var pools []string
	lines := bufio.NewScanner(bytes.NewReader(data))
	for lines.Scan() {
		if line := strings.TrimSpace(lines.Text()); line != "" && line[0] != '#' {
			pools = append(pools, line)
		}
	}
	return pools
}

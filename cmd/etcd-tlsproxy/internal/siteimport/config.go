package siteimport

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"etcd-tlsproxy/acl"
)

// Config writes the site as a configuration of this proxy. Everything else keeps its
// default.
func (s *Site) Config(match acl.Match) string {
	var b strings.Builder
	line := func(form string, args ...any) { fmt.Fprintf(&b, form+"\n", args...) }
	line("listen = %s", quote(s.Listen))
	if s.ReadOnly {
		line("read_only = true")
	}
	if match == acl.MatchBoth {
		line("match = \"both\" # opens nothing that nginx refused; use \"segment\" once the audit log is quiet")
	}
	if !s.HTTP2 {
		line("http2 = false # nginx did not offer it")
	}
	if len(s.Balancers) > 0 {
		line("\n[proxy_protocol]\nfrom = %s", list(s.Balancers))
	}
	line("\n[upstream]\nendpoints = %s", list(s.Endpoints))
	if slices.ContainsFunc(s.Endpoints, func(e string) bool { return strings.HasPrefix(e, "https://") }) {
		s.writeVerification(line)
		if s.ProxyCertificate != "" {
			line("certificate = %s\nkey = %s", quote(s.ProxyCertificate), quote(s.ProxyKey))
		}
	}
	line("\n[tls]\ncertificate = %s\nkey = %s", oneOrList(s.Certificates), oneOrList(s.Keys))
	if files := s.Files(); len(files) > 0 {
		line("\n[auth]\nhtpasswd = [")
		for _, file := range files {
			line("  %s,", quote(file))
		}
		line("]")
	}
	if s.MaxBody > 0 && s.MaxBody < defaultBodyBytes {
		line("\n[limits]\nbody_bytes = %d # nginx's client_max_body_size", s.MaxBody)
	}
	line("\n[acls]")
	for _, rule := range s.Rules {
		users := listOfGroup(rule.Write)
		// Below a rule that restricts reads, check-config wants to see who can read.
		if slices.ContainsFunc(s.Rules, func(above Rule) bool { return !above.Read.IsEveryone() && above.Prefix.Covers(rule.Prefix) }) {
			users = fmt.Sprintf("{ read = %s, write = %s }", listOfGroup(rule.Read), users)
		}
		line("%s = %s", quote(string(rule.Prefix)), users)
	}
	return b.String()
}

// defaultBodyBytes is the default of limits.body_bytes, which etcd cannot exceed.
const defaultBodyBytes = 10 << 20

// writeVerification writes how etcd's certificate is verified.
func (s *Site) writeVerification(line func(form string, args ...any)) {
	if !s.Verifies {
		line("# ca = \"...\" # nginx did not verify etcd's certificate; now the system's CAs do")
		return
	}
	if s.CA != "" {
		line("ca = %s", quote(s.CA))
	}
	line("server_name = %s", quote(s.ServerName))
}

// oneOrList writes one name as a string, and several as a list.
func oneOrList(names []string) string {
	if len(names) == 1 {
		return quote(names[0])
	}
	return list(names)
}

// quote writes a TOML string. TOML reads all escapes of JSON.
func quote(text string) string {
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(text); err != nil {
		panic("BUG: a text cannot be encoded: " + err.Error())
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// listOfGroup writes the users of a group. An empty list means everyone, so a group
// without users must never get here.
func listOfGroup(g acl.Group) string {
	if !g.IsEveryone() && len(g.Names()) == 0 {
		panic("BUG: a rule without users would open its keys to everyone")
	}
	return list(g.Names())
}

func list(texts []string) string {
	quoted := make([]string, len(texts))
	for i, text := range texts {
		quoted[i] = quote(text)
	}
	return "[" + strings.Join(quoted, ", ") + "]"
}

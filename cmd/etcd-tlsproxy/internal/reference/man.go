package reference

import (
	"fmt"
	"strings"
)

const manHead = `.\" Generated from the comments of internal/config; see CONTRIBUTING.md.
.TH ETCD\-TLSPROXY.TOML 5 "" "etcd\-tlsproxy" "etcd\-tlsproxy"
.SH NAME
etcd\-tlsproxy.toml \- configuration of etcd\-tlsproxy
.SH SYNOPSIS
.I /etc/etcd\-tlsproxy/etcd\-tlsproxy.toml
.SH DESCRIPTION
`

const manFile = `.PP
The file is written in TOML.
Unknown keys, wrong types and missing files are errors.
Unknown users in a rule are warnings.
.B etcd\-tlsproxy check\-config
reports both with file, line and key.
`

const manTail = `.SH EXAMPLE
.nf
[tls]
certificate = "/etc/ssl/localcerts/etcd.chained.crt"
key         = "/etc/ssl/private/etcd.key"

[auth]
htpasswd = ["/etc/etcd\-tlsproxy/htpasswd"]

[acls]
"/"             = ["root"]
"/conftool"     = ["root", "conftool"]
"/eventlogging" = []
.fi
.SH SEE ALSO
.BR etcd\-tlsproxy (8),
.I /usr/share/doc/etcd\-tlsproxy/REFERENCE.md.gz
`

// man returns the manual page of the configuration file.
func (r *content) man() []byte {
	var b strings.Builder
	b.WriteString(manHead)
	for _, t := range r.tables {
		if t.name == "" {
			fmt.Fprintf(&b, "%s\n%s.SH KEYS OUTSIDE OF TABLES\n", roff(t.doc), manFile)
		} else {
			fmt.Fprintf(&b, ".SH TABLE [%s]\n%s\n", strings.ToUpper(t.name), roff(t.doc))
		}
		for _, s := range t.settings {
			fmt.Fprintf(&b, ".TP\n.B %s\n\\fI%s\\fR\n.br\n%s\n", roff(s.Key), roff(s.facts()), roff(s.text))
		}
	}
	b.WriteString(manTail)
	return []byte(b.String())
}

// roff escapes what troff would interpret, and drops the marks of code.
func roff(s string) string {
	s = strings.NewReplacer(`\`, `\e`, "-", `\-`, "`", "", `"`, `\(dq`).Replace(s)
	if strings.HasPrefix(s, ".") || strings.HasPrefix(s, "'") {
		s = `\&` + s
	}
	return s
}

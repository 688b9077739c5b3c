package reference

import (
	"bytes"
	_ "embed" // the template
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"text/template"
)

//go:embed reference.md.tmpl
var page string

// Generate returns the generated documents by their paths below root, which is the folder
// of go.mod.
func Generate(root string) (map[string][]byte, error) {
	at := func(path string) string { return filepath.Join(root, filepath.FromSlash(path)) }
	settings, err := parse(at("cmd/etcd-tlsproxy/internal/config"))
	if err != nil {
		return nil, err
	}
	status, err := parse(at("cmd/etcd-tlsproxy/internal/statuspage"))
	if err != nil {
		return nil, err
	}
	server, err := parse(at("proxy/observe"))
	if err != nil {
		return nil, err
	}
	gate, err := parse(at("proxy/gate"))
	if err != nil {
		return nil, err
	}
	var r content
	if r.tables, err = settingsOf(settings); err != nil {
		return nil, fmt.Errorf("settings: %w", err)
	}
	if r.objects, err = statusObjects(status, server); err != nil {
		return nil, fmt.Errorf("status JSON: %w", err)
	}
	if r.metrics, err = metricsOf(); err != nil {
		return nil, fmt.Errorf("metrics: %w", err)
	}
	if r.refusals, err = refusalsOf(gate); err != nil {
		return nil, fmt.Errorf("refusals: %w", err)
	}
	markdown, err := r.markdown()
	if err != nil {
		return nil, err
	}
	return map[string][]byte{"REFERENCE.md": markdown, "deploy/man/etcd-tlsproxy.toml.5": r.man()}, nil
}

// content is what the documents are made from.
type content struct {
	tables   []table
	objects  []object
	metrics  []metric
	refusals []refusal
}

func (r *content) markdown() ([]byte, error) {
	t, err := template.New("REFERENCE.md").Funcs(template.FuncMap{
		"settings": r.settingsText, "limits": r.limitsText, "status": r.statusText, "metrics": r.metricsText, "refusals": r.refusalsText,
	}).Parse(page)
	if err != nil {
		return nil, fmt.Errorf("reading reference.md.tmpl: %w", err)
	}
	var b bytes.Buffer
	if err := t.Execute(&b, nil); err != nil {
		return nil, fmt.Errorf("filling reference.md.tmpl: %w", err)
	}
	return b.Bytes(), nil
}

func (r *content) settingsText() string {
	var b strings.Builder
	for _, t := range r.tables {
		if t.name != "" {
			fmt.Fprintf(&b, "### `[%s]`\n\n", t.name)
		}
		fmt.Fprintf(&b, "%s\n\n", t.doc)
		for _, s := range t.settings {
			fmt.Fprintf(&b, "#### `%s`\n\n*%s*\n\n%s\n\n", s.Key, s.facts(), s.text)
		}
	}
	return strings.TrimSpace(b.String())
}

// limitsText returns a table of the limits, for readers who look for one at a glance.
func (r *content) limitsText() string {
	var b strings.Builder
	b.WriteString("| limit | default | a change is applied by |\n|---|---|---|\n")
	for _, t := range r.tables {
		if t.name != "limits" {
			continue
		}
		for _, s := range t.settings {
			value, change := "`"+s.Default+"`", "a reload"
			if s.Default == "auto" {
				value = "computed"
			}
			if s.Restart {
				change = "a restart"
			}
			fmt.Fprintf(&b, "| `%s` | %s | %s |\n", s.Key, value, change)
		}
	}
	return strings.TrimSpace(b.String())
}

func (r *content) statusText() string {
	var b strings.Builder
	for _, o := range r.objects {
		fmt.Fprintf(&b, "### Object %s\n\n%s\n\n| field | type | meaning |\n|---|---|---|\n", o.name, o.doc)
		for _, f := range o.fields {
			fmt.Fprintf(&b, "| `%s` | %s | %s |\n", f.name, f.typ, cell(f.text))
		}
		b.WriteByte('\n')
	}
	return strings.TrimSpace(b.String())
}

func (r *content) metricsText() string {
	var b strings.Builder
	b.WriteString("| metric | type | labels | meaning |\n|---|---|---|---|\n")
	for _, m := range r.metrics {
		labels := ""
		if len(m.labels) > 0 {
			labels = "`" + strings.Join(m.labels, "`, `") + "`"
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", m.name, m.typ, labels, cell(m.help))
	}
	return strings.TrimSpace(b.String())
}

func (r *content) refusalsText() string {
	var b strings.Builder
	b.WriteString("| status | reason | `errorCode` | `message` | `cause` |\n|---|---|---|---|---|\n")
	for _, f := range r.refusals {
		fmt.Fprintf(&b, "| %d | `%s` | %s | %s | %s |\n", f.status, f.reason, strconv.Itoa(f.code), cell(f.message), cell(f.cause))
	}
	return strings.TrimSpace(b.String())
}

// cell escapes what would end a cell of a table.
func cell(s string) string { return strings.ReplaceAll(s, "|", `\|`) }

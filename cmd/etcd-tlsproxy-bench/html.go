package main

import (
	"fmt"
	"html/template"
	"os"
)

// bar is one line of a plot.
type bar struct {
	Name, Label string
	Width       float64
}

// writeHTML writes a page that loads nothing from elsewhere.
func writeHTML(path string, comparisons []*comparison) error {
	page := template.Must(template.New("report").Funcs(template.FuncMap{"bars": bars}).Parse(pageText))
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	if err := page.Execute(f, comparisons); err != nil {
		_ = f.Close()
		return fmt.Errorf("writing the report: %w", err)
	}
	return f.Close()
}

// bars returns a bar for each contender; the longest is that of the largest value.
func bars(c *comparison) []bar {
	figure := figures[c.Figure]
	largest := 0.0
	for _, name := range c.Order {
		largest = max(largest, c.median(name, figure.value))
	}
	var list []bar
	for _, name := range c.Order {
		if value := c.median(name, figure.value); value > 0 {
			list = append(list, bar{name, fmt.Sprintf("%.4g %s", value, figure.unit), 400 * value / largest})
		}
	}
	return list
}

const pageText = `<!doctype html>
<html lang="en"><meta charset="utf-8"><title>etcd-tlsproxy: comparison</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>
:root { color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif }
body { max-width: 46rem; margin: 2rem auto; padding: 0 1rem }
svg { width: 100%; height: auto } text { fill: currentColor; font-size: 13px }
rect { fill: #8a94a6 } rect.ours { fill: #2f7de1 }
</style>
<h1>etcd-tlsproxy: comparison</h1>
<p>Medians of all rounds of one run on one machine. Bars of CPU, latency and memory are better when short, of requests when long.</p>
{{range .}}<h2>{{.Name}}</h2><p>{{.What}}</p>
{{$bars := bars .}}<svg viewBox="0 0 640 {{len $bars}}6" role="img" aria-label="{{.What}}">
{{range $i, $bar := $bars}}<g transform="translate(0 {{$i}}4)"><text x="0" y="11">{{.Name}}</text>
<rect class="{{.Name}}" x="70" y="1" width="{{printf "%.1f" .Width}}" height="12"></rect>
<text x="{{printf "%.1f" .Width}}" dx="76" y="11">{{.Label}}</text></g>
{{end}}</svg>{{range .Notes}}<p>{{.}}</p>{{end}}
{{end}}</html>
`

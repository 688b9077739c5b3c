package main

import (
	"fmt"
	"html/template"
	"io"
	"os"
	"slices"
	"text/tabwriter"
)

// print writes the table of a scenario: medians of all rounds.
func (o *comparison) print(out io.Writer) {
	fmt.Fprintf(out, "\n%s: %s\n", o.Name, o.What)
	if o.Figure == "last" || o.Figure == "total" {
		o.printWatches(out)
		return
	}
	if o.Figure == "back" {
		o.printOutages(out)
		return
	}
	notes := slices.Clone(o.Notes)
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	if o.Figure == "memory" {
		fmt.Fprintln(w, "\tKB a connection\tratio\t")
	} else {
		fmt.Fprintln(w, "\trequests/s\tCPU us\tupstream us\tp50 us\tp99 us\tp99.9 us\terrors\tratio\t")
	}
	for _, name := range o.Order {
		if len(o.Samples[name]) == 0 {
			continue
		}
		ratio := "-"
		if name != "ours" {
			ratio = fmt.Sprintf("%.2f", o.ratio(name))
		}
		m := func(figure func(*sample) float64) float64 { return o.median(name, figure) }
		if o.Figure == "memory" {
			fmt.Fprintf(w, "%s\t%.1f\t%s\t\n", name, m(figures["memory"])/1000, ratio)
			continue
		}
		errors, first := int64(0), ""
		for _, s := range o.Samples[name] {
			errors += s.Errors
			if s.FirstError != "" {
				first = " (" + s.FirstError + ")"
			}
		}
		if background := m(func(s *sample) float64 { return s.Refused }); background > 0 {
			notes = append(notes, fmt.Sprintf("%s: %.0f requests a second of the others were answered meanwhile", name, background))
		}
		fmt.Fprintf(w, "%s\t%.0f\t%.1f\t%.1f\t%.0f\t%.0f\t%.0f\t%d%s\t%s\t\n", name, m(figures["rate"]), m(figures["cpu"]),
			m(func(s *sample) float64 { return s.UpstreamCPU }), m(func(s *sample) float64 { return s.P50 }), m(figures["p99"]),
			m(func(s *sample) float64 { return s.P999 }), errors, first, ratio)
	}
	_ = w.Flush() // to a terminal or a file; the report files check their own
	figure := map[string]string{"cpu": "CPU a request", "rate": "requests a second", "p99": "p99", "memory": "memory"}[o.Figure]
	fmt.Fprintf(out, "  (the ratio is of the %s: ours to the other's, or a variant's to ours)\n", figure)
	for _, note := range notes {
		fmt.Fprintf(out, "  (%s)\n", note)
	}
}

// bar is one line of a plot.
type bar struct {
	Name, Label string
	Width       float64
}

// writeHTML writes one page that needs nothing else.
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

// bars scales the figures of a scenario to the largest.
func bars(o *comparison) []bar {
	largest := 0.0
	for _, name := range o.Order {
		largest = max(largest, o.median(name, figures[o.Figure]))
	}
	var list []bar
	for _, name := range o.Order {
		value := o.median(name, figures[o.Figure])
		if value <= 0 {
			continue
		}
		unit := map[string]string{"cpu": "us CPU", "rate": "requests/s", "p99": "us p99", "memory": "bytes", "last": "us until the last hears", "total": "s for all events", "back": "us after etcd's own answer"}[o.Figure]
		list = append(list, bar{name, fmt.Sprintf("%.4g %s", value, unit), 400 * value / largest})
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

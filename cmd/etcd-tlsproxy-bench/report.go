package main

import (
	"fmt"
	"html/template"
	"io"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
)

// column is one column of a report: its head, and the cell of a contender.
type column struct {
	head string
	cell func(name string) string
}

// number returns a column of medians.
func (c *comparison) number(head, format string, value func(*sample) float64) column {
	return column{head, func(name string) string { return fmt.Sprintf(format, c.median(name, value)) }}
}

// columns returns the columns of a scenario. Scripts read them by their heads.
func (c *comparison) columns() []column {
	var list []column
	switch c.Figure {
	case "last", "total":
		list = c.watchColumns()
	case "back":
		list = c.outageColumns()
		if !c.Builds {
			return list
		}
	case "start":
		list = c.startColumns()
	case "memory":
		list = []column{c.number("KB a connection", "%.1f", func(m *sample) float64 { return m.Memory / 1000 })}
	default:
		list = []column{
			c.number("requests/s", "%.0f", func(m *sample) float64 { return m.Rate }),
			c.number("CPU us", "%.1f", func(m *sample) float64 { return m.CPU }),
			c.number("upstream us", "%.1f", func(m *sample) float64 { return m.UpstreamCPU }),
			c.number("p50 us", "%.0f", func(m *sample) float64 { return m.P50 }),
			c.number("p99 us", "%.0f", func(m *sample) float64 { return m.P99 }),
			c.number("p99.9 us", "%.0f", func(m *sample) float64 { return m.P999 }),
			{"errors", c.errors},
		}
		if c.Figure == "busy" {
			list = append(list, c.number("etcd % of a core", "%.1f", func(m *sample) float64 { return m.Busy }))
		}
	}
	list = append(list, column{"ratio", c.ratioText})
	if c.Builds {
		list = append(list, column{"ratio of rounds", c.roundRatiosText}, column{"spread %", c.spreadText})
	}
	return list
}

// errors returns how many requests of all rounds failed, and one of the reasons.
func (c *comparison) errors(name string) string {
	failed, reason := int64(0), ""
	for _, m := range c.Samples[name] {
		failed += m.Errors
		if m.FirstError != "" {
			reason = " (" + m.FirstError + ")"
		}
	}
	return fmt.Sprint(failed) + reason
}

func (c *comparison) ratioText(name string) string {
	ratio := c.ratio(name)
	switch {
	case ratio == 0:
		return "-"
	case c.Builds:
		return fmt.Sprintf("%.3f", ratio) // builds differ by a few parts in a hundred
	}
	return fmt.Sprintf("%.2f", ratio)
}

func (c *comparison) roundRatiosText(name string) string {
	least, greatest := c.roundRatios(name)
	if greatest == 0 {
		return "-"
	}
	return fmt.Sprintf("%.3f to %.3f", least, greatest)
}

func (c *comparison) spreadText(name string) string { return fmt.Sprintf("%.1f", 100*c.spread(name)) }

// print writes the table of a scenario. Its numbers are medians of all rounds.
func (c *comparison) print(out io.Writer) {
	fmt.Fprintf(out, "\n%s: %s\n", c.Name, c.What)
	columns := c.columns()
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	for _, column := range columns {
		fmt.Fprint(w, "\t"+column.head)
	}
	fmt.Fprintln(w, "\t")
	notes := slices.Clone(c.Notes)
	for _, name := range c.Order {
		if len(c.Samples[name]) == 0 {
			continue
		}
		fmt.Fprint(w, name)
		for _, column := range columns {
			fmt.Fprint(w, "\t"+column.cell(name))
		}
		fmt.Fprintln(w, "\t")
		if rate := c.median(name, func(m *sample) float64 { return m.Refused }); rate > 0 {
			notes = append(notes, fmt.Sprintf("%s: %.0f requests a second of the background load were answered meanwhile", name, rate))
		}
	}
	_ = w.Flush() // to a terminal; the report files check their errors
	if c.Figure != "back" || c.Builds {
		fmt.Fprintf(out, "  (the ratio is of the %s: %s)\n", figures[c.Figure].what, c.ratioMeaning())
	}
	for _, note := range notes {
		fmt.Fprintf(out, "  (%s)\n", note)
	}
}

func (c *comparison) ratioMeaning() string {
	if c.Builds {
		return "of a build to the first one"
	}
	return "ours to the other proxy's, or a variant's to ours"
}

// printSummary writes one line for each build but the first and each scenario. A build
// that is listed twice shows the noise: differences of that size mean nothing.
func printSummary(out io.Writer, comparisons []*comparison) {
	fmt.Fprintln(out, "\nsummary: ratios of medians to the first build's")
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "\tbuild\tbaseline\tmedian\tits median\tratio\tratio of rounds\tspread %\tfigure\t")
	for _, c := range comparisons {
		figure := figures[c.Figure]
		for _, name := range c.Order {
			baseline := c.Baselines[name]
			if baseline == "" {
				continue
			}
			cells := []string{
				c.Name, name, baseline,
				significant(c.median(name, figure.value)), significant(c.median(baseline, figure.value)),
				c.ratioText(name), c.roundRatiosText(name), c.spreadText(name), figure.unit,
			}
			fmt.Fprintln(w, strings.Join(cells, "\t")+"\t")
		}
	}
	_ = w.Flush()
}

// significant formats a number with at least four digits, and never with an exponent.
func significant(value float64) string {
	if value >= 1000 {
		return fmt.Sprintf("%.0f", value)
	}
	return fmt.Sprintf("%.4g", value)
}

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

package main

import (
	"slices"
)

// comparison is the result of one scenario: the samples of each contender.
type comparison struct {
	Name   string
	What   string
	Figure string
	// Order lists the contenders that were measured, as the report shows them.
	Order []string
	// Samples holds one sample per round. Samples with equal indexes were measured one
	// after the other.
	Samples map[string][]*sample
	// Baselines names, for a variant or a build, the contender that its ratio refers
	// to. Other proxies have none: their ratio is ours divided by theirs.
	Baselines map[string]string `json:",omitempty"`
	// Builds is set if builds of this proxy were compared with each other.
	Builds bool     `json:",omitempty"`
	Notes  []string `json:",omitempty"`
}

func newComparison(sc *scenario, builds []build) *comparison {
	return &comparison{
		Name: sc.name, What: sc.what, Figure: sc.figure, Builds: len(builds) > 1,
		Samples: make(map[string][]*sample), Baselines: make(map[string]string),
	}
}

// add registers a contender, which is about to be measured.
func (c *comparison) add(v contender) {
	c.Order = append(c.Order, v.name)
	if v.baseline != "" {
		c.Baselines[v.name] = v.baseline
	}
}

// figure is a value whose ratio a scenario can report.
type figure struct {
	value func(*sample) float64
	what  string // its name in a sentence
	unit  string // its unit behind a number
}

var figures = map[string]figure{
	"cpu":    {func(m *sample) float64 { return m.CPU }, "CPU a request", "us CPU"},
	"rate":   {func(m *sample) float64 { return m.Rate }, "requests a second", "requests/s"},
	"p99":    {func(m *sample) float64 { return m.P99 }, "p99", "us p99"},
	"memory": {func(m *sample) float64 { return m.Memory }, "memory", "bytes"},
	"last":   {func(m *sample) float64 { return m.Watch.Last }, "time until the event has reached the last watcher", "us until the last watcher"},
	"total":  {func(m *sample) float64 { return m.Watch.Seconds }, "time for all events", "s for all events"},
	"busy":   {func(m *sample) float64 { return m.Busy }, "CPU of etcd", "% of a core of etcd"},
	"start":  {func(m *sample) float64 { return m.Start.Took }, "time until the first answer", "us until the first answer"},
	"back":   {func(m *sample) float64 { return m.Outage.Back }, "time until the first good answer", "us after etcd's own answer"},
}

// median returns the median of a value over the rounds, or 0 if there are none.
func (c *comparison) median(name string, value func(*sample) float64) float64 {
	return median(c.values(name, value))
}

func (c *comparison) values(name string, value func(*sample) float64) []float64 {
	values := make([]float64, len(c.Samples[name]))
	for i, m := range c.Samples[name] {
		values[i] = value(m)
	}
	return values
}

func median(values []float64) float64 {
	n := len(values)
	if n == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(values))
	if n%2 == 0 {
		return (sorted[n/2-1] + sorted[n/2]) / 2
	}
	return sorted[n/2]
}

// ratio returns the ratio of the scenario's figure: a variant's or a build's to its
// baseline, and ours to another proxy's. It is 0 where there is nothing to compare.
func (c *comparison) ratio(name string) float64 {
	above, below := c.compared(name)
	return quotient(c.median(above, figures[c.Figure].value), c.median(below, figures[c.Figure].value))
}

// compared returns the contenders whose quotient is the ratio of name.
func (c *comparison) compared(name string) (above, below string) {
	if baseline := c.Baselines[name]; baseline != "" {
		return name, baseline
	}
	if c.Builds || name == ours {
		return "", ""
	}
	return ours, name
}

// roundRatios returns the least and the greatest ratio of a single round. The samples
// of a round were taken one after the other, so slow drift of the machine is not in it.
func (c *comparison) roundRatios(name string) (least, greatest float64) {
	above, below := c.compared(name)
	numerators := c.values(above, figures[c.Figure].value)
	denominators := c.values(below, figures[c.Figure].value)
	var ratios []float64
	for i := range min(len(numerators), len(denominators)) {
		ratios = append(ratios, quotient(numerators[i], denominators[i]))
	}
	if len(ratios) == 0 {
		return 0, 0
	}
	return slices.Min(ratios), slices.Max(ratios)
}

// spread returns how far apart the rounds of a contender are: the difference between
// the greatest and the least value, as a part of the median.
func (c *comparison) spread(name string) float64 {
	values := c.values(name, figures[c.Figure].value)
	if len(values) == 0 {
		return 0
	}
	return quotient(slices.Max(values)-slices.Min(values), median(values))
}

func quotient(above, below float64) float64 {
	if below == 0 {
		return 0
	}
	return above / below
}

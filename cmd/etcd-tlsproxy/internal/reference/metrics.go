package reference

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/prometheus/client_golang/prometheus"

	"etcd-tlsproxy/proxy/observe"
)

// metric is one metric of the proxy.
type metric struct {
	name, typ, help string
	labels          []string
}

// description is how package prometheus prints a prometheus.Desc, which has no accessors.
var description = regexp.MustCompile(`^Desc\{fqName: "(\w+)", help: ("(?:[^"\\]|\\.)*"), unit: "\w*", constLabels: \{(.*)\}, variableLabels: \{(.*)\}\}$`)

// metricsOf returns the metrics of the proxy in the order of their names, without those
// that Go's own collectors add.
func metricsOf() ([]metric, error) {
	registry := observe.NewMetrics("").Registry
	types := make(map[string]string)
	families, err := registry.Gather()
	if err != nil {
		return nil, fmt.Errorf("gathering metrics: %w", err)
	}
	for _, family := range families {
		types[family.GetName()] = strings.ToLower(family.GetType().String())
	}
	descriptions := make(chan *prometheus.Desc)
	go func() {
		registry.Describe(descriptions)
		close(descriptions)
	}()
	all := make(map[string]metric)
	for d := range descriptions {
		found := description.FindStringSubmatch(d.String())
		if found == nil {
			err = fmt.Errorf("the description of a metric is not understood: %s", d)
			continue // the channel must be read to its end
		}
		if !strings.HasPrefix(found[1], "etcd_tlsproxy_") {
			continue
		}
		m := metric{name: found[1], typ: types[found[1]]}
		if m.typ == "" { // without a value so far
			m.typ = "gauge"
			if strings.HasSuffix(m.name, "_total") {
				m.typ = "counter"
			}
		}
		m.help, _ = strconv.Unquote(found[2])
		for pair := range strings.SplitSeq(found[3], ",") {
			if name, _, ok := strings.Cut(pair, "="); ok {
				m.labels = append(m.labels, name)
			}
		}
		if found[4] != "" {
			m.labels = append(m.labels, strings.Split(found[4], ",")...)
		}
		all[m.name] = m
	}
	if err != nil {
		return nil, err
	}
	var list []metric
	for _, m := range all {
		list = append(list, m)
	}
	slices.SortFunc(list, func(a, b metric) int { return strings.Compare(a.name, b.name) })
	return list, nil
}

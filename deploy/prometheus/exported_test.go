// Package prometheus tests the rules and the dashboard against what the proxy really
// exports, and runs them in the real Prometheus.
package prometheus

import (
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"etcd-tlsproxy/proxy/observe"
)

// exported is what may be named: the labels of each series.
type exported map[string][]string

// ofTheScrape are the labels that Prometheus adds to every series.
var ofTheScrape = []string{"instance", "job"}

// described is how the library tells of a metric: there is no other way to learn of one
// that has no series yet.
var described = regexp.MustCompile(`^Desc\{fqName: "([^"]+)", help: ".*", constLabels: \{(.*)\}, variableLabels: \{(.*)\}\}$`)

// findExported asks the registry of a proxy.
func findExported(t *testing.T) exported {
	t.Helper()
	series := exported{
		"up": ofTheScrape,
		// These are not the service's: the verb backup leaves them to the node exporter.
		"etcd_tlsproxy_backup_last_success_timestamp_seconds": ofTheScrape,
		"etcd_tlsproxy_backup_last_attempt_failed":            ofTheScrape,
	}
	metrics := observe.NewMetrics("test")
	histograms := histograms(t, metrics.Registry)
	descs := make(chan *prometheus.Desc)
	go func() {
		metrics.Registry.Describe(descs)
		close(descs)
	}()
	for desc := range descs {
		match := described.FindStringSubmatch(desc.String())
		if match == nil {
			t.Fatalf("a metric is described in a new way: %s", desc)
		}
		name, labels := match[1], slices.Clone(ofTheScrape)
		for _, pair := range strings.Split(match[2], ",") {
			if label, _, ok := strings.Cut(pair, "="); ok {
				labels = append(labels, label)
			}
		}
		for _, label := range strings.Split(match[3], ",") {
			if label != "" {
				labels = append(labels, label)
			}
		}
		series[name] = labels
		if histograms[name] {
			delete(series, name)
			series[name+"_sum"], series[name+"_count"], series[name+"_bucket"] = labels, labels, append(labels, "le")
		}
	}
	return series
}

// histograms are the names of those that have series, which all of ours have from the
// start.
func histograms(t *testing.T, registry *prometheus.Registry) map[string]bool {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	names := make(map[string]bool)
	for _, family := range families {
		if family.GetType().String() == "HISTOGRAM" {
			names[family.GetName()] = true
		}
	}
	if len(names) == 0 {
		t.Fatal("there is no histogram")
	}
	return names
}

// words are all string constants of the proxy's source: every value of a label is one.
func words(t *testing.T) []string {
	t.Helper()
	set := make(map[string]bool)
	for _, folder := range []string{"../../proxy", "../../proxy/upstream", "../../certs"} {
		files, err := filepath.Glob(filepath.Join(folder, "*.go"))
		if err != nil || len(files) == 0 {
			t.Fatalf("%s: %v", folder, err)
		}
		for _, file := range files {
			if strings.HasSuffix(file, "_test.go") {
				continue
			}
			parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
			if err != nil {
				t.Fatal(err)
			}
			ast.Inspect(parsed, func(node ast.Node) bool {
				if literal, ok := node.(*ast.BasicLit); ok && literal.Kind == token.STRING {
					if text, err := strconv.Unquote(literal.Value); err == nil {
						set[text] = true
					}
				}
				return true
			})
		}
	}
	return slices.Collect(maps.Keys(set))
}

// Package prometheus compares the rules and the dashboard with the metrics that the proxy
// exports, and evaluates them in a real Prometheus.
package prometheus

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
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

// exported maps the name of each series to its labels.
type exported map[string][]string

// scrapeLabels are the labels that Prometheus adds to every series.
var scrapeLabels = []string{"instance", "job"}

// description matches the text of a prometheus.Desc. The library has no other way to list
// metrics that have no series yet.
var description = regexp.MustCompile(`^Desc\{fqName: "([^"]+)", help: ".*", constLabels: \{(.*)\}, variableLabels: \{(.*)\}\}$`)

// findExported returns the series of a proxy's registry.
func findExported(t *testing.T) exported {
	t.Helper()
	series := exported{
		"up": scrapeLabels,
		// The node exporter exports these from the metrics file of the backup command.
		"etcd_tlsproxy_backup_last_success_timestamp_seconds": scrapeLabels,
		"etcd_tlsproxy_backup_last_attempt_failed":            scrapeLabels,
	}
	metrics := observe.NewMetrics("test")
	histograms := histograms(t, metrics.Registry)
	descs := make(chan *prometheus.Desc)
	go func() {
		metrics.Registry.Describe(descs)
		close(descs)
	}()
	for desc := range descs {
		match := description.FindStringSubmatch(desc.String())
		if match == nil {
			t.Fatalf("description of a metric: got %s, want it to match %s", desc, description)
		}
		name, labels := match[1], slices.Clone(scrapeLabels)
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

// histograms returns the names of all histograms that have series. All histograms of the proxy
// have series from the start.
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
		t.Fatal("the registry: got no histogram, want at least one")
	}
	return names
}

// stringLiterals returns all string literals of the proxy's source. Every value of a label is
// one of them.
func stringLiterals(t *testing.T) []string {
	t.Helper()
	set := make(map[string]bool)
	for _, folder := range []string{"../../proxy", "../../certs"} {
		err := filepath.WalkDir(folder, func(path string, entry fs.DirEntry, err error) error {
			if err != nil || entry.IsDir() || filepath.Ext(path) != ".go" || strings.HasSuffix(path, "_test.go") {
				return err
			}
			file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
			if err != nil {
				return err
			}
			addLiterals(set, file)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return slices.Collect(maps.Keys(set))
}

func addLiterals(set map[string]bool, file *ast.File) {
	ast.Inspect(file, func(node ast.Node) bool {
		if literal, ok := node.(*ast.BasicLit); ok && literal.Kind == token.STRING {
			if text, err := strconv.Unquote(literal.Value); err == nil {
				set[text] = true
			}
		}
		return true
	})
}

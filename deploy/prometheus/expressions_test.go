package prometheus

import (
	"encoding/json"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/VictoriaMetrics/metricsql"
	"go.yaml.in/yaml/v3"
)

const (
	rulesFile     = "etcd-tlsproxy.rules.yml"
	rulesTestFile = "etcd-tlsproxy.rules.test.yml"
	dashboardFile = "../grafana/etcd-tlsproxy.json"
)

// rule is one of the rules file.
type rule struct {
	Record, Alert, Expr string
	Labels, Annotations map[string]string
}

func readRules(t *testing.T) []rule {
	t.Helper()
	var file struct{ Groups []struct{ Rules []rule } }
	unmarshal(t, rulesFile, yaml.Unmarshal, &file)
	var rules []rule
	for _, group := range file.Groups {
		rules = append(rules, group.Rules...)
	}
	if len(rules) == 0 {
		t.Fatal("there are no rules")
	}
	return rules
}

// panel is one of the dashboard, as far as it matters here.
type panel struct {
	Title, Description, Type string
	Targets                  []struct{ Expr string }
}

func readPanels(t *testing.T) []panel {
	t.Helper()
	var dashboard struct{ Panels []panel }
	unmarshal(t, dashboardFile, json.Unmarshal, &dashboard)
	if len(dashboard.Panels) == 0 {
		t.Fatal("there are no panels")
	}
	return dashboard.Panels
}

func unmarshal(t *testing.T, file string, with func([]byte, any) error, into any) {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := with(data, into); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
}

// variables are what Grafana puts in place of them.
var variables = strings.NewReplacer("$__rate_interval", "1m", "$job", "etcd-tlsproxy", "$instance", ".*")

// expressions are all of the dashboard, by panel.
func dashboardExpressions(t *testing.T) map[string][]string {
	t.Helper()
	expressions := make(map[string][]string)
	for _, panel := range readPanels(t) {
		for _, target := range panel.Targets {
			expressions[panel.Title] = append(expressions[panel.Title], variables.Replace(target.Expr))
		}
	}
	return expressions
}

func TestRulesAndDashboardNameOnlyWhatIsExported(t *testing.T) {
	c := &checker{t: t, series: findExported(t), words: words(t), used: make(map[string]bool)}
	rules := readRules(t)
	for _, rule := range rules {
		if rule.Record != "" {
			c.series[rule.Record] = c.labelsOf(rule.Expr)
		}
	}
	for _, rule := range rules {
		c.check(rule.Record+rule.Alert, rule.Expr)
	}
	for title, expressions := range dashboardExpressions(t) {
		for _, expression := range expressions {
			c.check(title, expression)
		}
	}
	for name := range c.series {
		base := strings.TrimSuffix(strings.TrimSuffix(name, "_sum"), "_count")
		if strings.HasPrefix(name, "etcd_tlsproxy_") && !c.used[name] && !c.used[base+"_bucket"] {
			t.Errorf("%s is exported, and neither a rule nor the dashboard shows it", name)
		}
	}
}

// checker looks at expressions.
type checker struct {
	t      *testing.T
	series exported
	words  []string
	used   map[string]bool
}

func (c *checker) parse(expression string) metricsql.Expr {
	c.t.Helper()
	parsed, err := metricsql.Parse(expression)
	if err != nil {
		c.t.Fatalf("%s: %v", expression, err)
	}
	return parsed
}

// labelsOf are those that a recorded series has: what its last aggregation keeps.
func (c *checker) labelsOf(expression string) []string {
	var labels []string
	metricsql.VisitAll(c.parse(expression), func(e metricsql.Expr) {
		if aggregation, ok := e.(*metricsql.AggrFuncExpr); ok {
			labels = aggregation.Modifier.Args
		}
	})
	return slices.DeleteFunc(slices.Clone(labels), func(label string) bool { return label == "le" })
}

func (c *checker) check(what, expression string) {
	c.t.Helper()
	var known []string
	parsed := c.parse(expression)
	metricsql.VisitAll(parsed, func(e metricsql.Expr) {
		selector, ok := e.(*metricsql.MetricExpr)
		if !ok {
			return
		}
		for _, filters := range selector.LabelFilterss {
			known = append(known, c.checkSelector(what, filters)...)
		}
	})
	metricsql.VisitAll(parsed, func(e metricsql.Expr) {
		var named []string
		switch e := e.(type) {
		case *metricsql.AggrFuncExpr:
			named = e.Modifier.Args
		case *metricsql.BinaryOpExpr:
			named = slices.Concat(e.GroupModifier.Args, e.JoinModifier.Args)
		}
		for _, label := range named {
			if !slices.Contains(known, label) {
				c.t.Errorf("%s: nothing in it has the label %s: %s", what, label, expression)
			}
		}
	})
}

// checkSelector returns the labels that the series has.
func (c *checker) checkSelector(what string, filters []metricsql.LabelFilter) []string {
	c.t.Helper()
	name := filters[0].Value
	labels, ok := c.series[name]
	if filters[0].Label != "__name__" || !ok {
		c.t.Errorf("%s: no metric is named %s", what, name)
		return nil
	}
	c.used[name] = true
	for _, filter := range filters[1:] {
		if !slices.Contains(labels, filter.Label) {
			c.t.Errorf("%s: %s has no label %s", what, name, filter.Label)
		}
		if !slices.Contains(ofTheScrape, filter.Label) {
			c.checkValues(what, name, filter)
		}
	}
	return labels
}

// checkValues wants each alternative to be a word of the source.
func (c *checker) checkValues(what, name string, filter metricsql.LabelFilter) {
	c.t.Helper()
	values := []string{filter.Value}
	if filter.IsRegexp {
		values = strings.Split(filter.Value, "|")
	}
	for _, value := range values {
		pattern := regexp.MustCompile("^(?:" + value + ")$")
		if !slices.ContainsFunc(c.words, pattern.MatchString) {
			c.t.Errorf("%s: no %s of %s is %q", what, filter.Label, name, value)
		}
	}
}

func TestEveryAlertSaysWhatToDoAndIsTested(t *testing.T) {
	tests, err := os.ReadFile(rulesTestFile)
	if err != nil {
		t.Fatal(err)
	}
	for _, rule := range readRules(t) {
		if rule.Alert == "" {
			continue
		}
		for _, key := range []string{"summary", "description", "action"} {
			if rule.Annotations[key] == "" {
				t.Errorf("%s has no %s", rule.Alert, key)
			}
		}
		if severity := rule.Labels["severity"]; severity != "warning" && severity != "critical" {
			t.Errorf("%s has the severity %q", rule.Alert, severity)
		}
		if !strings.Contains(string(tests), `alertname="`+rule.Alert+`"`) {
			t.Errorf("no test lets %s fire", rule.Alert)
		}
	}
}

func TestEveryPanelIsExplained(t *testing.T) {
	for _, panel := range readPanels(t) {
		if panel.Type != "row" && (panel.Description == "" || len(panel.Targets) == 0) {
			t.Errorf("%q has no description, or shows nothing", panel.Title)
		}
	}
}

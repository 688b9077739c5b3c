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

// rule is a rule of the rules file.
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
		t.Fatalf("%s: got no rules, want some", rulesFile)
	}
	return rules
}

// panel is a panel of the dashboard. It has only the fields that the tests need.
type panel struct {
	Title, Description, Type string
	Targets                  []struct{ Expr string }
}

func readPanels(t *testing.T) []panel {
	t.Helper()
	var dashboard struct{ Panels []panel }
	unmarshal(t, dashboardFile, json.Unmarshal, &dashboard)
	if len(dashboard.Panels) == 0 {
		t.Fatalf("%s: got no panels, want some", dashboardFile)
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

// variables replaces the variables of the dashboard like Grafana does.
var variables = strings.NewReplacer("$__rate_interval", "1m", "$job", "etcd-tlsproxy", "$instance", ".*")

// dashboardExpressions returns the expressions of each panel, by its title.
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
	c := &checker{t: t, series: findExported(t), literals: stringLiterals(t), used: make(map[string]bool)}
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
			t.Errorf("%s is exported: got no rule and no panel that uses it, want one", name)
		}
	}
}

// checker checks the names, labels and label values in expressions.
type checker struct {
	t      *testing.T
	series exported
	// literals are the possible values of labels.
	literals []string
	used     map[string]bool
}

func (c *checker) parse(expression string) metricsql.Expr {
	c.t.Helper()
	parsed, err := metricsql.Parse(expression)
	if err != nil {
		c.t.Fatalf("%s: %v", expression, err)
	}
	return parsed
}

// labelsOf returns the labels of a recorded series: those that its last aggregation keeps.
func (c *checker) labelsOf(expression string) []string {
	var labels []string
	metricsql.VisitAll(c.parse(expression), func(e metricsql.Expr) {
		if aggregation, ok := e.(*metricsql.AggrFuncExpr); ok {
			labels = aggregation.Modifier.Args
		}
	})
	return slices.DeleteFunc(slices.Clone(labels), func(label string) bool { return label == "le" })
}

// check checks an expression of the rule or panel named what.
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
				c.t.Errorf("%s: the expression aggregates or joins by %s, but no series in it has that label: %s", what, label, expression)
			}
		}
	})
}

// checkSelector checks a selector, and returns the labels of its series.
func (c *checker) checkSelector(what string, filters []metricsql.LabelFilter) []string {
	c.t.Helper()
	name := filters[0].Value
	labels, ok := c.series[name]
	if filters[0].Label != "__name__" || !ok {
		c.t.Errorf("%s: got the metric %q, want one that is exported or recorded", what, name)
		return nil
	}
	c.used[name] = true
	for _, filter := range filters[1:] {
		if !slices.Contains(labels, filter.Label) {
			c.t.Errorf("%s: got the label %s of %s, want one of %v", what, filter.Label, name, labels)
		}
		if !slices.Contains(scrapeLabels, filter.Label) {
			c.checkValues(what, name, filter)
		}
	}
	return labels
}

// checkValues checks that each alternative of a filter is a string literal of the source.
func (c *checker) checkValues(what, name string, filter metricsql.LabelFilter) {
	c.t.Helper()
	values := []string{filter.Value}
	if filter.IsRegexp {
		values = strings.Split(filter.Value, "|")
	}
	for _, value := range values {
		pattern := regexp.MustCompile("^(?:" + value + ")$")
		if !slices.ContainsFunc(c.literals, pattern.MatchString) {
			c.t.Errorf("%s: got the value %q for the label %s of %s, want one that the source sets", what, value, filter.Label, name)
		}
	}
}

func TestEveryAlertSaysWhatToDoAndIsTested(t *testing.T) {
	tests, err := os.ReadFile(rulesTestFile)
	if err != nil {
		t.Fatal(err)
	}
	manual, err := os.ReadFile("../../MANUAL.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, rule := range readRules(t) {
		if rule.Alert == "" {
			continue
		}
		section, ok := strings.CutPrefix(rule.Annotations["runbook_url"], "man:etcd-tlsproxy-manual(7)#alerts-about-")
		if heading := "\n### Alerts about " + strings.ReplaceAll(section, "-", " ") + "\n"; !ok || !strings.Contains(string(manual), heading) {
			t.Errorf("the alert %s: got the runbook_url %q, want a section of etcd-tlsproxy-manual(7), which is MANUAL.md, about its group", rule.Alert, rule.Annotations["runbook_url"])
		}
		for _, key := range []string{"summary", "description", "action"} {
			if rule.Annotations[key] == "" {
				t.Errorf("the alert %s: got no annotation %s, want one", rule.Alert, key)
			}
		}
		if severity := rule.Labels["severity"]; severity != "warning" && severity != "critical" {
			t.Errorf("the alert %s: got the severity %q, want warning or critical", rule.Alert, severity)
		}
		if !strings.Contains(string(tests), `alertname="`+rule.Alert+`"`) {
			t.Errorf("%s: got no test in which %s fires, want one", rulesTestFile, rule.Alert)
		}
	}
}

func TestEveryPanelIsExplained(t *testing.T) {
	for _, panel := range readPanels(t) {
		if panel.Type == "row" {
			continue
		}
		if panel.Description == "" || len(panel.Targets) == 0 {
			t.Errorf("the panel %q: got the description %q and %d expressions, want both", panel.Title, panel.Description, len(panel.Targets))
		}
	}
}

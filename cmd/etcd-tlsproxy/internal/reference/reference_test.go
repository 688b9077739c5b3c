package reference

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/config"
	"etcd-tlsproxy/proxy/gate"
)

const root = "../../../.."

var update = flag.Bool("update", false, "write the generated documents")

func TestReferenceIsGenerated(t *testing.T) {
	documents, err := Generate(root)
	if err != nil {
		t.Fatalf("generating the documents: %v", err)
	}
	for name, want := range documents {
		path := filepath.Join(root, filepath.FromSlash(name))
		if *update {
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, want, 0o644); err != nil {
				t.Fatal(err)
			}
			continue
		}
		got, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%s is not what its sources say; run go generate ./... and commit the result", name)
		}
	}
}

func TestTheReferenceNamesAllSettings(t *testing.T) {
	documents, err := Generate(root)
	if err != nil {
		t.Fatalf("generating the documents: %v", err)
	}
	markdown, man := string(documents["REFERENCE.md"]), string(documents["deploy/man/etcd-tlsproxy.toml.5"])
	for _, s := range config.Settings() {
		if !strings.Contains(markdown, "#### `"+s.Key+"`\n") {
			t.Errorf("REFERENCE.md has no heading for %s", s.Key)
		}
		if !strings.Contains(man, "\n.B "+s.Key+"\n") {
			t.Errorf("etcd-tlsproxy.toml(5) has no paragraph for %s", s.Key)
		}
	}
	if strings.Contains(markdown, "(#object-status)") {
		t.Error("the status object contains itself")
	}
}

func TestTheReferenceNamesMetricsWithoutAValue(t *testing.T) {
	metrics, err := metricsOf()
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{
		"etcd_tlsproxy_decisions_total":          "counter",
		"etcd_tlsproxy_request_duration_seconds": "histogram",
		"etcd_tlsproxy_upstream_events_total":    "counter",
		"etcd_tlsproxy_watches":                  "gauge",
	}
	for _, m := range metrics {
		if typ, ok := want[m.name]; ok && m.typ == typ && m.help != "" {
			delete(want, m.name)
		}
	}
	for name, typ := range want {
		t.Errorf("the reference does not list %s as a %s with a help text", name, typ)
	}
}

func TestEachFieldOfTheStatusHasAMeaning(t *testing.T) {
	page, err := parse(root + "/cmd/etcd-tlsproxy/internal/statuspage")
	if err != nil {
		t.Fatal(err)
	}
	server, err := parse(root + "/proxy/observe")
	if err != nil {
		t.Fatal(err)
	}
	objects, err := statusObjects(page, server)
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range objects {
		for _, f := range o.fields {
			if f.text == "" {
				t.Errorf("field %s of %s has no comment", f.name, o.name)
			}
		}
	}
}

func TestTheReasonsAreThoseOfTheRefusals(t *testing.T) {
	source, err := parse(filepath.Join(root, "proxy", "gate"))
	if err != nil {
		t.Fatal(err)
	}
	refusals, err := refusalsOf(source)
	if err != nil {
		t.Fatal(err)
	}
	unrecorded := []string{"plain_http"} // it is answered before there is a request
	want := slices.Concat(gate.Reasons(), unrecorded)
	for _, r := range refusals {
		if !slices.Contains(want, r.reason) {
			t.Errorf("the reason %s of a refusal is missing in gate.Reasons", r.reason)
		}
	}
	for _, reason := range gate.Reasons() {
		if reason != "malformed" && !slices.ContainsFunc(refusals, func(r refusal) bool { return r.reason == reason }) {
			t.Errorf("the reason %s: got no refusal that has it, want one", reason)
		}
	}
}

package puppet

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// TestOnlyLimitsWithAStarRestart compares the module with the reference, which marks the limits
// that need a restart.
func TestOnlyLimitsWithAStarRestart(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), "../../cmd/etcd-tlsproxy/config.go", nil, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	var live []string
	ast.Inspect(file, func(node ast.Node) bool {
		spec, ok := node.(*ast.TypeSpec)
		if !ok || spec.Name.Name != "Limits" {
			return true
		}
		for _, field := range spec.Type.(*ast.StructType).Fields.List {
			name := reflect.StructTag(strings.Trim(field.Tag.Value, "`")).Get("toml")
			if !strings.HasPrefix(field.Doc.Text(), field.Names[0].Name+" (*) ") {
				live = append(live, "'"+name+"'")
			}
		}
		return false
	})
	slices.Sort(live)
	manifest, err := os.ReadFile("etcd_tlsproxy/manifests/config.pp")
	if err != nil {
		t.Fatal(err)
	}
	want := fmt.Sprintf("$live_limits = [%s]\n", strings.Join(live, ", "))
	if len(live) == 0 || !strings.Contains(string(manifest), want) {
		t.Errorf("manifests/config.pp: got other live limits than the reference, want the line %s", want)
	}
}

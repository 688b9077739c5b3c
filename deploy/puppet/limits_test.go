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

// TestOnlyLimitsWithAStarRestart compares the module with the configuration's own
// description: the tag of a limit says whether a change needs a restart.
func TestOnlyLimitsWithAStarRestart(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), "../../cmd/etcd-tlsproxy/internal/config/limits.go", nil, parser.ParseComments)
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
			tag := reflect.StructTag(strings.Trim(field.Tag.Value, "`"))
			if tag.Get("reload") != "restart" {
				live = append(live, "'"+tag.Get("toml")+"'")
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
		t.Errorf("manifests/config.pp does not contain the limits that a reload changes: want the line %s", want)
	}
}

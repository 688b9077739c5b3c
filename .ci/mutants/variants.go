package main

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"slices"
	"strings"
)

// selector is the variable that selects the mutant of a process, and selectorEnv the variable
// of the environment that sets it. No mutant has the number 0.
const (
	selector     = "mutant__"
	selectorEnv  = "ETCD_TLSPROXY_MUTANT"
	selectorText = `package %s

import (
	"os"
	"strconv"
)

var ` + selector + `, _ = strconv.Atoi(os.Getenv("` + selectorEnv + `"))
`
)

// variants writes a file that contains mutants next to what is unchanged. A function with
// mutants gets a copy for each, and begins with calling the one that is selected.
type variants struct {
	text   []byte
	file   *ast.File
	files  *token.FileSet
	edits  []edit
	calls  map[*ast.FuncDecl]*strings.Builder
	copies strings.Builder
}

type edit struct {
	start, end int
	with       string
}

func newVariants(name string, text []byte) (*variants, error) {
	files := token.NewFileSet()
	file, err := parser.ParseFile(files, name, text, parser.SkipObjectResolution)
	if err != nil {
		return nil, err
	}
	return &variants{text: text, file: file, files: files, calls: make(map[*ast.FuncDecl]*strings.Builder)}, nil
}

// add adds a mutant. It reports false if the mutant needs a program of its own: it is not in
// a function, or in one that recovers, which must be called by the defer statement itself.
func (v *variants) add(id int, m *mutant) bool {
	i := slices.IndexFunc(v.file.Decls, func(d ast.Decl) bool {
		f, ok := d.(*ast.FuncDecl)
		return ok && f.Body != nil && v.offset(f.Body.Pos()) < m.start && m.end < v.offset(f.Body.End())
	})
	if i < 0 {
		return false
	}
	d := v.file.Decls[i].(*ast.FuncDecl)
	if recovers(d.Body) {
		return false
	}
	call := v.calls[d]
	if call == nil {
		call = &strings.Builder{}
		v.calls[d] = call
	}
	receiver, arguments := "", ""
	if d.Recv != nil {
		receiver = strings.Join(v.names(d.Recv), "") + "."
	}
	arguments = strings.Join(v.names(d.Type.Params), ", ")
	name := fmt.Sprintf("%s__%d", d.Name.Name, id)
	result, end := "return ", ""
	if d.Type.Results == nil {
		result, end = "", "; return"
	}
	fmt.Fprintf(call, "case %d: %s%s%s%s(%s)%s; ", id, result, receiver, name, typeArguments(d), arguments, end)
	fmt.Fprintf(&v.copies, "\n//line %s:1\n%s%s%s%s%s\n", variantName(id),
		v.text[v.offset(d.Pos()):v.offset(d.Name.Pos())], name,
		v.text[v.offset(d.Name.End()):m.start], m.replacement, v.text[m.end:v.offset(d.End())])
	return true
}

func (v *variants) offset(p token.Pos) int { return v.files.Position(p).Offset }

// names returns the names of the parameters as arguments. It names those without one.
func (v *variants) names(fields *ast.FieldList) (names []string) {
	for _, field := range fields.List {
		before := len(names)
		for _, name := range field.Names {
			names = append(names, name.Name)
			if name.Name == "_" {
				names[len(names)-1] = v.named(name.Pos(), name.End(), "")
			}
		}
		if len(field.Names) == 0 {
			names = append(names, v.named(field.Type.Pos(), field.Type.Pos(), " "))
		}
		if _, ok := field.Type.(*ast.Ellipsis); ok {
			names[before] += "..."
		}
	}
	return names
}

func (v *variants) named(start, end token.Pos, after string) string {
	e := edit{v.offset(start), v.offset(end), fmt.Sprintf("p__%d", v.offset(start))}
	name := e.with
	e.with += after
	if !slices.Contains(v.edits, e) {
		v.edits = append(v.edits, e)
	}
	return name
}

// typeArguments returns the type parameters as arguments. Results alone would not determine them.
func typeArguments(d *ast.FuncDecl) string {
	if d.Type.TypeParams == nil {
		return ""
	}
	var names []string
	for _, field := range d.Type.TypeParams.List {
		for _, name := range field.Names {
			names = append(names, name.Name)
		}
	}
	return "[" + strings.Join(names, ", ") + "]"
}

// String returns the file. The lines of what is unchanged keep their numbers.
func (v *variants) String() string {
	edits := slices.Clone(v.edits)
	for d, call := range v.calls {
		at := v.offset(d.Body.Lbrace) + 1
		edits = append(edits, edit{at, at, " switch " + selector + " { " + call.String() + "}; "})
	}
	slices.SortFunc(edits, func(a, b edit) int { return a.start - b.start })
	b := &strings.Builder{}
	last := 0
	for _, e := range edits {
		b.Write(v.text[last:e.start])
		b.WriteString(e.with)
		last = e.end
	}
	b.Write(v.text[last:])
	b.WriteString(v.copies.String())
	return b.String()
}

// recovers reports whether the function itself calls recover, and not one in it.
func recovers(body *ast.BlockStmt) (found bool) {
	ast.Inspect(body, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.FuncLit:
			return false
		case *ast.CallExpr:
			called, ok := n.Fun.(*ast.Ident)
			found = found || ok && called.Name == "recover"
		}
		return true
	})
	return found
}

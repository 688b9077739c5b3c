package main

import (
	"context"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// source is a package and all its mutants.
type source struct {
	path    string // the import path
	root    string // the folder of the module
	folder  string
	rapid   bool // the tests use pgregory.net/rapid
	mutants []*mutant
}

// load finds the mutants of the files that the package has on this platform.
func load(ctx context.Context, name string) (*source, error) {
	out, err := exec.CommandContext(ctx, "go", "list", "-f", `{{.ImportPath}}{{"\n"}}{{.Module.Dir}}{{"\n"}}{{.Dir}}{{"\n"}}{{.TestImports}}{{.XTestImports}}{{range .GoFiles}}{{"\n"}}{{.}}{{end}}`, name).Output()
	if err != nil {
		var failed *exec.ExitError
		if errors.As(err, &failed) {
			err = errors.New(strings.TrimSpace(string(failed.Stderr)))
		}
		return nil, fmt.Errorf("listing the files of %s: %w", name, err)
	}
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	if len(lines) < 4 {
		return nil, fmt.Errorf("listing the files of %s: got %q", name, out)
	}
	s := &source{path: lines[0], root: lines[1], folder: lines[2], rapid: strings.Contains(lines[3], "pgregory.net/rapid")}
	for _, file := range lines[4:] {
		path := filepath.Join(lines[2], file)
		text, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		relative, err := filepath.Rel(s.root, path)
		if err != nil {
			return nil, err
		}
		found, err := findMutants(filepath.ToSlash(relative), text)
		if err != nil {
			return nil, err
		}
		s.mutants = append(s.mutants, found...)
	}
	return s, nil
}

// findMutants returns the mutants of a file in the order of the source.
func findMutants(name string, text []byte) ([]*mutant, error) {
	files := token.NewFileSet()
	file, err := parser.ParseFile(files, name, text, parser.SkipObjectResolution)
	if err != nil {
		return nil, err
	}
	f := &finder{name: name, text: text, file: files.File(file.FileStart)}
	for _, d := range file.Decls {
		switch d := d.(type) {
		case *ast.FuncDecl:
			f.function, f.results = functionName(d), d.Type.Results
			ast.Inspect(d, f.visit)
		case *ast.GenDecl:
			if d.Tok != token.CONST && d.Tok != token.VAR {
				continue
			}
			for _, spec := range d.Specs {
				f.function, f.results = spec.(*ast.ValueSpec).Names[0].Name, nil
				ast.Inspect(spec, f.visit)
			}
		}
	}
	return f.found, nil
}

func functionName(d *ast.FuncDecl) string {
	if d.Recv == nil {
		return d.Name.Name
	}
	receiver := d.Recv.List[0].Type
	for {
		switch t := receiver.(type) {
		case *ast.StarExpr:
			receiver = t.X
		case *ast.IndexExpr:
			receiver = t.X
		case *ast.IndexListExpr:
			receiver = t.X
		case *ast.Ident:
			return t.Name + "." + d.Name.Name
		default:
			return d.Name.Name
		}
	}
}

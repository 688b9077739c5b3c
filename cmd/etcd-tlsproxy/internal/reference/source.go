package reference

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
)

// source is the Go source of some packages, without their tests.
type source struct {
	files   []*ast.File
	structs map[string]*structType
}

// structType is a struct type with its comment.
type structType struct {
	doc    string
	fields []field
}

// field is a field of a struct. The comment of a field is the text above it or, without
// one, the text at the end of its line. name is empty for an embedded field.
type field struct {
	name, doc, typ string
	tag            reflect.StructTag
}

// parse reads the packages in the given folders.
func parse(folders ...string) (*source, error) {
	s := &source{structs: make(map[string]*structType)}
	for _, folder := range folders {
		entries, err := os.ReadDir(folder)
		if err != nil {
			return nil, fmt.Errorf("reading a package: %w", err)
		}
		for _, entry := range entries {
			name := entry.Name()
			if !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") {
				continue
			}
			file, err := parser.ParseFile(token.NewFileSet(), filepath.Join(folder, name), nil, parser.ParseComments)
			if err != nil {
				return nil, fmt.Errorf("parsing a package: %w", err)
			}
			s.files = append(s.files, file)
			s.addStructs(file)
		}
	}
	return s, nil
}

func (s *source) addStructs(file *ast.File) {
	for _, declaration := range file.Decls {
		general, ok := declaration.(*ast.GenDecl)
		if !ok {
			continue
		}
		for _, spec := range general.Specs {
			named, ok := spec.(*ast.TypeSpec)
			if !ok {
				continue
			}
			literal, ok := named.Type.(*ast.StructType)
			if !ok {
				continue
			}
			doc := named.Doc
			if doc == nil {
				doc = general.Doc
			}
			s.structs[named.Name.Name] = &structType{doc: text(doc), fields: fieldsOf(literal)}
		}
	}
}

func fieldsOf(literal *ast.StructType) []field {
	var fields []field
	for _, f := range literal.Fields.List {
		one := field{doc: text(f.Doc), typ: typeText(f.Type)}
		if one.doc == "" {
			one.doc = text(f.Comment)
		}
		if f.Tag != nil {
			one.tag = reflect.StructTag(strings.Trim(f.Tag.Value, "`"))
		}
		if len(f.Names) > 0 {
			one.name = f.Names[0].Name
		}
		fields = append(fields, one)
	}
	return fields
}

// lookup returns a struct type that must exist.
func (s *source) lookup(name string) (*structType, error) {
	if t := s.structs[name]; t != nil {
		return t, nil
	}
	return nil, fmt.Errorf("the source has no struct type %s", name)
}

// text returns a comment as one line.
func text(group *ast.CommentGroup) string {
	return strings.Join(strings.Fields(group.Text()), " ")
}

// typeText returns the name of a type, with [] before the name of an element's type.
func typeText(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.Ident:
		return e.Name
	case *ast.SelectorExpr:
		return typeText(e.X) + "." + e.Sel.Name
	case *ast.StarExpr:
		return typeText(e.X)
	case *ast.ArrayType:
		return "[]" + typeText(e.Elt)
	case *ast.MapType:
		return "map"
	}
	return ""
}

var word = regexp.MustCompile(`\b[A-Z][A-Za-z]*[A-Za-z]\b`)

// rename replaces the names of fields in a comment by the names that readers know.
// The first word of a comment can be the name of its own field in any case.
func rename(comment string, names map[string]string) string {
	return word.ReplaceAllStringFunc(comment, func(w string) string {
		if name, ok := names[w]; ok {
			return "`" + name + "`"
		}
		return w
	})
}

package reference

import (
	"errors"
	"fmt"
	"go/ast"
	"go/token"
	"slices"
	"strconv"
)

// refusal is an answer that the proxy gives itself.
type refusal struct {
	status                 int
	reason, message, cause string
	code                   int
}

// refusalsOf returns what is passed to refuse, in the order of the status. A text that
// is put together when a request is refused ends in "...".
func refusalsOf(s *source) ([]refusal, error) {
	constants := constantsOf(s)
	var list []refusal
	var err error
	for _, file := range s.files {
		ast.Inspect(file, func(node ast.Node) bool {
			call, ok := node.(*ast.CallExpr)
			if !ok || len(call.Args) != 5 {
				return true
			}
			if name, ok := call.Fun.(*ast.Ident); !ok || name.Name != "refuse" {
				return true
			}
			var values [5]string
			for i, arg := range call.Args {
				values[i] = evaluate(arg, constants)
			}
			r := refusal{reason: values[1], message: values[3], cause: values[4]}
			status, statusErr := strconv.Atoi(values[0])
			if statusErr != nil {
				return true // a function that passes its own parameters to refuse
			}
			code, codeErr := strconv.Atoi(values[2])
			if codeErr != nil {
				err = errors.Join(err, fmt.Errorf("the code of the refusal %s is not a number: %q", r.reason, values[2]))
			}
			r.status, r.code = status, code
			list = append(list, r)
			return true
		})
	}
	if err == nil && len(list) == 0 {
		err = errors.New("package gate has no calls of refuse")
	}
	slices.SortStableFunc(list, func(a, b refusal) int { return a.status - b.status })
	return list, err
}

// constantsOf returns the constants of a package that are written as a literal.
func constantsOf(s *source) map[string]string {
	constants := make(map[string]string)
	for _, file := range s.files {
		ast.Inspect(file, func(node ast.Node) bool {
			spec, ok := node.(*ast.ValueSpec)
			if ok && len(spec.Names) == 1 && len(spec.Values) == 1 {
				if _, literal := spec.Values[0].(*ast.BasicLit); literal {
					constants[spec.Names[0].Name] = evaluate(spec.Values[0], nil)
				}
			}
			return true
		})
	}
	return constants
}

// evaluate returns the value of a literal, a constant, or a sum of them.
func evaluate(e ast.Expr, constants map[string]string) string {
	switch e := e.(type) {
	case *ast.BasicLit:
		if e.Kind == token.STRING {
			text, _ := strconv.Unquote(e.Value)
			return text
		}
		return e.Value
	case *ast.Ident:
		if value, ok := constants[e.Name]; ok {
			return value
		}
		return "..."
	case *ast.BinaryExpr:
		return evaluate(e.X, constants) + evaluate(e.Y, constants)
	}
	return "..."
}

package main

import (
	"go/ast"
	"go/token"
	"strconv"
)

// finder collects the mutants of a file.
type finder struct {
	name     string
	text     []byte
	file     *token.File
	function string
	results  *ast.FieldList // of the function
	found    []*mutant
}

func (f *finder) replace(kind string, from, to token.Pos, with string) {
	f.found = append(f.found, &mutant{
		file: f.name, function: f.function, line: f.file.Line(from), kind: kind,
		source: f.text, start: f.file.Offset(from), end: f.file.Offset(to), replacement: with,
	})
}

func (f *finder) textOf(n ast.Node) string {
	return string(f.text[f.file.Offset(n.Pos()):f.file.Offset(n.End())])
}

// operators are the operators that replace others. Negations are missing where a condition
// that always or never holds shows the same.
var operators = map[token.Token]string{
	token.LSS: "<=", token.LEQ: "<", token.GTR: ">=", token.GEQ: ">", token.EQL: "!=", token.NEQ: "==",
	token.ADD: "-", token.SUB: "+", token.MUL: "/", token.QUO: "*", token.REM: "*",
	token.AND: "|", token.OR: "&", token.SHL: ">>", token.SHR: "<<",
	token.LAND: "||", token.LOR: "&&",
	token.ADD_ASSIGN: "-=", token.SUB_ASSIGN: "+=", token.OR_ASSIGN: "&=", token.AND_ASSIGN: "|=",
	token.INC: "--", token.DEC: "++",
}

func (f *finder) operator(at token.Pos, op token.Token) {
	if with, ok := operators[op]; ok {
		f.replace("other operator", at, at+token.Pos(len(op.String())), with)
	}
}

// condition keeps the text of the condition, so that its variables remain in use.
func (f *finder) condition(e ast.Expr, value bool) {
	with := "false && (" + f.textOf(e) + ")"
	if value {
		with = "true || (" + f.textOf(e) + ")"
	}
	f.replace("condition that is always "+strconv.FormatBool(value), e.Pos(), e.End(), with)
}

func (f *finder) visit(n ast.Node) bool {
	switch n := n.(type) {
	case *ast.FuncLit:
		outer := f.results
		f.results = n.Type.Results
		ast.Inspect(n.Body, f.visit)
		f.results = outer
		return false
	case *ast.BlockStmt:
		f.statements(n.List)
	case *ast.CaseClause:
		f.statements(n.Body)
	case *ast.CommClause:
		f.statements(n.Body)
	case *ast.SwitchStmt:
		f.cases(n)
	case *ast.IfStmt:
		f.condition(n.Cond, true)
		f.condition(n.Cond, false)
	case *ast.ForStmt:
		if n.Cond != nil { // one that always holds would only wait for the time limit
			f.condition(n.Cond, false)
		}
	case *ast.ReturnStmt:
		f.returned(n)
	case *ast.AssignStmt:
		f.operator(n.TokPos, n.Tok)
	case *ast.IncDecStmt:
		f.operator(n.TokPos, n.Tok)
	case *ast.BinaryExpr:
		f.operator(n.OpPos, n.Op)
		if n.Op == token.LAND || n.Op == token.LOR {
			f.replace("missing operand", n.X.Pos(), n.Y.Pos(), "")
			f.replace("missing operand", n.X.End(), n.Y.End(), "")
		}
	case *ast.UnaryExpr:
		if n.Op == token.NOT {
			f.replace("missing negation", n.OpPos, n.X.Pos(), "")
		}
	case *ast.CallExpr:
		f.call(n)
	case *ast.Ident:
		switch n.Name {
		case "true":
			f.replace("other value", n.Pos(), n.End(), "false")
		case "false":
			f.replace("other value", n.Pos(), n.End(), "true")
		}
	case *ast.BasicLit:
		f.literal(n)
	case *ast.Field: // a tag or the length of an array in a type
		return false
	}
	return true
}

func (f *finder) literal(n *ast.BasicLit) {
	switch n.Kind {
	case token.INT:
		if i, err := strconv.ParseInt(n.Value, 0, 64); err == nil {
			f.replace("other number", n.Pos(), n.End(), strconv.FormatInt(i+1, 10))
		}
	case token.CHAR:
		if c, _, _, err := strconv.UnquoteChar(n.Value[1:len(n.Value)-1], '\''); err == nil {
			f.replace("other character", n.Pos(), n.End(), strconv.QuoteRune(c+1))
		}
	}
}

func (f *finder) call(n *ast.CallExpr) {
	if called, ok := n.Fun.(*ast.Ident); ok {
		switch called.Name {
		case "min":
			f.replace("other function", called.Pos(), called.End(), "max")
		case "max":
			f.replace("other function", called.Pos(), called.End(), "min")
		}
	}
}

// cases lets the conditions of a switch never hold.
func (f *finder) cases(n *ast.SwitchStmt) {
	if n.Tag != nil {
		return
	}
	for _, s := range n.Body.List {
		for _, e := range s.(*ast.CaseClause).List {
			f.condition(e, false)
		}
	}
}

// statements removes statements. A definition is left, because what uses it would not compile.
func (f *finder) statements(list []ast.Stmt) {
	for _, s := range list {
		switch s := s.(type) {
		case *ast.AssignStmt:
			if s.Tok == token.DEFINE {
				continue
			}
		case *ast.ExprStmt:
			if isPanic(s.X) { // for states that are impossible
				continue
			}
		case *ast.ReturnStmt:
			if len(s.Results) > 0 {
				continue
			}
		case *ast.IncDecStmt, *ast.DeferStmt, *ast.GoStmt, *ast.SendStmt, *ast.BranchStmt:
		default:
			continue
		}
		f.replace("missing statement", s.Pos(), s.End(), "")
	}
}

func isPanic(e ast.Expr) bool {
	call, ok := e.(*ast.CallExpr)
	if !ok {
		return false
	}
	called, ok := call.Fun.(*ast.Ident)
	return ok && called.Name == "panic"
}

// returned drops errors.
func (f *finder) returned(n *ast.ReturnStmt) {
	if f.results == nil {
		return
	}
	var types []ast.Expr
	for _, field := range f.results.List {
		for range max(1, len(field.Names)) {
			types = append(types, field.Type)
		}
	}
	if len(types) != len(n.Results) { // a call with several results
		return
	}
	for i, result := range n.Results {
		if name, ok := types[i].(*ast.Ident); ok && name.Name == "error" && f.textOf(result) != "nil" {
			f.replace("dropped error", result.Pos(), result.End(), "nil")
		}
	}
}

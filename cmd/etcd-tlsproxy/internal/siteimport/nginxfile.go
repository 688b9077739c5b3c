package siteimport

import (
	"fmt"
	"regexp"
	"strings"
)

// directive is a directive of an nginx file: its words, and its block if it has one.
type directive struct {
	words []string
	block []*directive
	file  string
	line  int
}

// place returns the file and the line of the directive.
func (d *directive) place() string { return fmt.Sprintf("%s:%d", d.file, d.line) }

func (d *directive) name() string   { return d.words[0] }
func (d *directive) args() []string { return d.words[1:] }

// tokens reads nginx's grammar. The maintained libraries for it accept more than nginx
// does, by heuristics. Reading a file differently from nginx would be a security hole
// here.
type tokens struct {
	file string
	text string
	line int
}

// token is a word, or one of ;, { and }.
type token struct {
	text   string
	quoted bool
	line   int
}

func (t token) is(mark string) bool { return !t.quoted && t.text == mark }

func (t *tokens) fail(line int, what string) error {
	return fmt.Errorf("reading nginx's site: %s:%d: %s", t.file, line, what)
}

func (t *tokens) skipBlank() {
	for t.text != "" {
		switch t.text[0] {
		case '\n':
			t.line++
			fallthrough
		case ' ', '\t', '\r':
			t.text = t.text[1:]
		case '#':
			if _, _, found := strings.Cut(t.text, "\n"); !found {
				t.text = ""
				return
			}
			t.text = t.text[strings.IndexByte(t.text, '\n'):]
		default:
			return
		}
	}
}

// escapes matches a backslash to which nginx gives a meaning in a word. Before other
// characters, as in the \. of an expression, nginx keeps it.
var escapes = regexp.MustCompile("\\\\[\\s\"'\\\\tnr;{}]")

// next returns the next token. ok is false at the end of the file.
func (t *tokens) next() (tok token, ok bool, err error) {
	t.skipBlank()
	if t.text == "" {
		return token{line: t.line}, false, nil
	}
	line := t.line
	switch c := t.text[0]; c {
	case ';', '{', '}':
		t.text = t.text[1:]
		return token{text: string(c), line: line}, true, nil
	case '"', '\'':
		return t.quotedWord(c)
	}
	// A word ends at a blank, ; or {. The meaning of escapes and ${} in a word depends on
	// the directive; sites of this kind do not use them.
	end := strings.IndexAny(t.text, " \t\r\n;{")
	if end < 0 {
		return token{}, false, t.fail(line, "the file ends inside of a word")
	}
	word := t.text[:end]
	if escapes.MatchString(t.text[:end+1]) {
		return token{}, false, t.fail(line, "a backslash before a blank, a quote or a special letter is not supported (hint: write the word in quotes without it, or remove the directive from a copy)")
	}
	if strings.Contains(word, "${") || t.text[end] == '{' && strings.HasSuffix(word, "$") || strings.ContainsAny(word, `"'}`) {
		return token{}, false, t.fail(line, "quotes and braces in a word are not supported (hint: put the whole word in quotes, write $name for ${name}, or remove the directive from a copy)")
	}
	t.text = t.text[end:]
	return token{text: word, line: line}, true, nil
}

func (t *tokens) quotedWord(quote byte) (token, bool, error) {
	line := t.line
	end := strings.IndexByte(t.text[1:], quote)
	if end < 0 {
		return token{}, false, t.fail(line, "a quoted word is not closed")
	}
	word := t.text[1 : 1+end]
	if strings.Contains(word, `\`) {
		return token{}, false, t.fail(line, "a backslash in quotes is not supported (hint: write the word in the other quotes without it, or remove the directive from a copy if it is about logs)")
	}
	t.line += strings.Count(word, "\n")
	t.text = t.text[end+2:]
	if t.text != "" && !strings.ContainsRune(" \t\r\n;{)", rune(t.text[0])) {
		return token{}, false, t.fail(line, "there is no blank after a quoted word (hint: put the whole word in quotes)")
	}
	return token{text: word, quoted: true, line: line}, true, nil
}

// parseNginx parses a file into directives.
func parseNginx(source Source) ([]*directive, error) {
	t := &tokens{file: source.Name, text: string(source.Data), line: 1}
	return t.block(false, 0)
}

// maxDepth bounds the nesting of blocks. Real sites need far less.
const maxDepth = 16

// block reads directives up to the closing brace or the end of the file.
func (t *tokens) block(inside bool, depth int) ([]*directive, error) {
	if depth > maxDepth {
		return nil, t.fail(t.line, "blocks are nested too deeply")
	}
	var list []*directive
	var d *directive
	for {
		tok, ok, err := t.next()
		switch {
		case err != nil:
			return nil, err
		case !ok && (inside || d != nil):
			return nil, t.fail(tok.line, "the file ends inside of a block or a directive")
		case !ok:
			return list, nil
		case d == nil && tok.is("}") && inside:
			return list, nil
		case tok.is("}"), d == nil && (tok.is(";") || tok.is("{")):
			return nil, t.fail(tok.line, "there is an unexpected "+tok.text)
		case d == nil:
			if strings.HasSuffix(tok.text, "_by_lua_block") {
				return nil, t.fail(tok.line, tok.text+" is not supported (hint: its effect would be lost; remove the block if that is acceptable)")
			}
			d = &directive{words: []string{tok.text}, file: t.file, line: tok.line}
		case tok.is(";"):
			list, d = append(list, d), nil
		case tok.is("{"):
			if d.block, err = t.block(true, depth+1); err != nil {
				return nil, err
			}
			if d.block == nil {
				d.block = []*directive{}
			}
			list, d = append(list, d), nil
		default:
			d.words = append(d.words, tok.text)
		}
	}
}

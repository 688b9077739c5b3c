package memberhost

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
)

// readEnvironmentFile adds the variables of a file in the form of EnvironmentFile=. It
// accepts the usual lines, NAME=VALUE with or without quotes around the whole value, and
// refuses escapes and continued lines instead of interpreting them.
func readEnvironmentFile(path string, optional bool, environment map[string]string) error {
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) && optional {
		return nil
	}
	if err != nil {
		return err
	}
	for i, line := range strings.Split(string(text), "\n") {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' || line[0] == ';' {
			continue
		}
		name, value, ok := strings.Cut(line, "=")
		if name = strings.TrimSpace(name); !ok || !isVariable(name) {
			continue // systemd ignores such lines
		}
		value, err := unquote(strings.TrimSpace(value))
		if err != nil {
			return fmt.Errorf("%s:%d: the value of %s %w", path, i+1, name, err)
		}
		environment[name] = value
	}
	return nil
}

func isVariable(name string) bool {
	for i, c := range []byte(name) {
		if c != '_' && (c|0x20 < 'a' || c|0x20 > 'z') && (i == 0 || c < '0' || c > '9') {
			return false
		}
	}
	return name != ""
}

var errEscaped = errors.New("has escapes, quotes inside of it, or continues in the next line, which a recovery does not read (hint: write it in one line, with or without quotes around it)")

// unquote removes quotes around a whole value.
func unquote(value string) (string, error) {
	quoted := ""
	if n := len(value); n >= 2 && (value[0] == '"' || value[0] == '\'') && value[n-1] == value[0] {
		quoted, value = value[:1], value[1:n-1]
	}
	if strings.Contains(value, `\`) || quoted == "" && strings.ContainsAny(value, `"'`) || quoted != "" && strings.Contains(value, quoted) {
		return "", errEscaped
	}
	return value, nil
}

// assignments reads the value of Environment= as systemctl prints it: assignments that
// are separated by blanks, those with blanks in quotes.
func assignments(text string, environment map[string]string) error {
	for text = strings.TrimSpace(text); text != ""; text = strings.TrimSpace(text) {
		var word string
		if text[0] == '"' {
			var ok bool
			if word, text, ok = strings.Cut(text[1:], `"`); !ok {
				return errEscaped
			}
		} else {
			word, text, _ = strings.Cut(text, " ")
		}
		name, value, ok := strings.Cut(word, "=")
		if !ok || !isVariable(name) || strings.ContainsAny(value, `\"'`) {
			return fmt.Errorf("the variable %s %w", name, errEscaped)
		}
		environment[name] = value
	}
	return nil
}

// expand replaces the variables in the words of a command line as systemd does: $NAME as
// a word of its own stands for any number of words, ${NAME} for a part of a word.
func expand(words []string, environment map[string]string) ([]string, error) {
	var all []string
	for _, word := range words {
		if name, ok := strings.CutPrefix(word, "$"); ok && isVariable(name) {
			if strings.ContainsAny(environment[name], `"'\`) {
				return nil, fmt.Errorf("the variable %s %w", name, errEscaped)
			}
			all = append(all, strings.Fields(environment[name])...)
			continue
		}
		for {
			before, rest, ok := strings.Cut(word, "${")
			if !ok {
				break
			}
			name, after, ok := strings.Cut(rest, "}")
			if !ok || !isVariable(name) || strings.Contains(environment[name], "$") {
				return nil, fmt.Errorf("the word %q on etcd's command line cannot be expanded", word)
			}
			word = before + environment[name] + after
		}
		if strings.ContainsAny(word, `$"'\`) {
			return nil, fmt.Errorf("the word %q on etcd's command line has quotes, escapes or a variable inside of it (hint: move the setting to the unit's EnvironmentFile=)", word)
		}
		all = append(all, word)
	}
	return all, nil
}

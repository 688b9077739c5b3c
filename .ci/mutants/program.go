package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// buildLimit is the time for compiling and linking the tests.
const buildLimit = 5 * time.Minute

// program is the compiled tests of a package with many mutants, because linking them for each
// takes longer than running them.
type program struct {
	source  *source
	folder  string
	mutants []*mutant
	state   map[*mutant]outcome // invalid, or apart
}

// apart is the state of a mutant that is not in the program.
const apart outcome = -1

// compile compiles the tests with those of the mutants that compile.
func compile(ctx context.Context, s *source, folder string, mutants []*mutant) (*program, error) {
	p := &program{source: s, folder: folder, mutants: mutants, state: make(map[*mutant]outcome)}
	for _, m := range mutants {
		if !parses(m) {
			p.state[m] = invalid
		}
	}
	for {
		files, err := p.write()
		if err != nil {
			return nil, err
		}
		out, err := s.build(ctx, folder, p.path(), files)
		if err == nil {
			return p, nil
		}
		if p.leaveOutFailed(out) == 0 {
			return nil, fmt.Errorf("compiling the tests of %s with mutants: %w\n%s", s.path, err, out)
		}
	}
}

func (p *program) path() string { return filepath.Join(p.folder, "tests") }

// number returns the number that selects a mutant.
func (p *program) number(m *mutant) int { return slices.Index(p.mutants, m) + 1 }

// write returns the texts of the files with mutants, and of the file that selects one.
func (p *program) write() (map[string]string, error) {
	changed := make(map[string]*variants)
	for i, m := range p.mutants {
		if _, ok := p.state[m]; ok {
			continue
		}
		v := changed[m.file]
		if v == nil {
			var err error
			if v, err = newVariants(m.file, m.source); err != nil {
				return nil, err
			}
			changed[m.file] = v
		}
		if !v.add(i+1, m) {
			p.state[m] = apart
		}
	}
	files := make(map[string]string)
	for name, v := range changed {
		files[name] = v.String()
	}
	for name, v := range changed { // any of the folder
		files[filepath.Join(filepath.Dir(name), "mutant__.go")] = fmt.Sprintf(selectorText, v.file.Name.Name)
		break
	}
	return files, nil
}

func variantName(id int) string { return fmt.Sprintf("mutant__%d.go", id) }

var failedVariant = regexp.MustCompile(`mutant__(\d+)\.go:`)

// leaveOutFailed leaves out the mutants that the compiler complains about, and counts them.
func (p *program) leaveOutFailed(out []byte) (count int) {
	for _, match := range failedVariant.FindAllSubmatch(out, -1) {
		id, err := strconv.Atoi(string(match[1]))
		if err != nil || id > len(p.mutants) || id == 0 {
			continue
		}
		if m := p.mutants[id-1]; p.state[m] != invalid {
			p.state[m] = invalid
			count++
		}
	}
	return count
}

// parses reports whether the compiler can read the changed file, and whether the file still
// uses its imports, which does not show where the unchanged code is next to it.
func parses(m *mutant) bool {
	before, err := usedNames(m.source)
	if err != nil {
		return false
	}
	after, err := usedNames(m.changed())
	return err == nil && maps.Equal(before, after)
}

// usedNames returns the names of imported packages that a file uses.
func usedNames(text []byte) (map[string]bool, error) {
	file, err := parser.ParseFile(token.NewFileSet(), "", text, parser.SkipObjectResolution)
	if err != nil {
		return nil, err
	}
	imported := make(map[string]bool)
	for _, i := range file.Imports {
		path, _ := strconv.Unquote(i.Path.Value)
		imported[path[strings.LastIndexByte(path, '/')+1:]] = true
		if i.Name != nil {
			imported[i.Name.Name] = true
		}
	}
	used := make(map[string]bool)
	ast.Inspect(file, func(n ast.Node) bool {
		if s, ok := n.(*ast.SelectorExpr); ok {
			if x, ok := s.X.(*ast.Ident); ok && imported[x.Name] {
				used[x.Name] = true
			}
		}
		return true
	})
	return used, nil
}

// build compiles the tests with the texts in place of the files, and returns what the compiler
// said. It reports all mistakes, and no symbols for debuggers are linked.
func (s *source) build(ctx context.Context, folder, program string, files map[string]string) (out []byte, err error) {
	replace := make(map[string]string)
	for i, name := range slices.Sorted(maps.Keys(files)) {
		path := filepath.Join(folder, fmt.Sprintf("%d.go", i))
		if err := os.WriteFile(path, []byte(files[name]), 0o600); err != nil {
			return nil, err
		}
		replace[filepath.Join(s.root, name)] = path
	}
	list, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		return nil, err
	}
	overlay := filepath.Join(folder, "overlay.json")
	if err := os.WriteFile(overlay, list, 0o600); err != nil {
		return nil, err
	}
	return execute(ctx, buildLimit, s.root, nil,
		"go", "test", "-c", "-o", program, "-overlay", overlay, "-gcflags=-e", "-ldflags=-s -w", s.path)
}

// execute runs a command. Its processes are a group of their own, and a command that hangs is
// killed with the processes that it started.
func execute(ctx context.Context, limit time.Duration, folder string, env []string, name string, args ...string) (out []byte, err error) {
	limited, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	cmd := exec.CommandContext(limited, name, args...)
	cmd.Dir = folder
	cmd.Env = append(os.Environ(), env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = 10 * time.Second
	out, err = cmd.CombinedOutput()
	if cmd.Process != nil {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) // what a test left behind
	}
	if limited.Err() != nil {
		err = errors.Join(limited.Err(), err)
	}
	return out, err
}

package siteimport

import (
	"fmt"
	"path"
	"slices"
	"strings"
)

// NginxFiles gives access to the files that a configuration of nginx names.
type NginxFiles struct {
	// Folder is the folder of the file that is imported. Relative names in a whole
	// configuration start there.
	Folder string
	// Read reads included files, and Glob expands their patterns like filepath.Glob.
	Read ReadFile
	Glob func(pattern string) ([]string, error)
	// Passwords reads htpasswd files.
	Passwords ReadFile
}

// debianFolder is where relative names in the file of a single site start. Such a file
// does not say which configuration includes it.
const debianFolder = "/etc/nginx"

// isWhole reports whether directives are a whole configuration, not a single site.
func isWhole(list []*directive) bool {
	return slices.ContainsFunc(list, func(d *directive) bool { return d.name() == "http" || d.name() == "events" })
}

// opaque lists blocks whose lines are data, not directives. They define variables and
// types; what they include cannot change that.
var opaque = []string{"types", "map", "geo", "split_clients", "charset_map"}

// includer replaces include directives by the content of their files.
type includer struct {
	files  NginxFiles
	folder string
}

func (i *includer) expand(list []*directive, depth int) ([]*directive, error) {
	var all []*directive
	for _, d := range list {
		switch {
		case d.name() == "include":
			included, err := i.include(d, depth)
			if err != nil {
				return nil, err
			}
			all = append(all, included...)
			continue
		case d.block != nil && !slices.Contains(opaque, d.name()):
			block, err := i.expand(d.block, depth)
			if err != nil {
				return nil, err
			}
			if d.block = block; block == nil {
				d.block = []*directive{}
			}
		}
		all = append(all, d)
	}
	return all, nil
}

// include reads the files of an include directive, in nginx's order. A pattern can match
// no file, but a plain name must exist.
func (i *includer) include(d *directive, depth int) ([]*directive, error) {
	fail := func(form string, args ...any) error {
		return fmt.Errorf("reading nginx's site: %s: %s", d.place(), fmt.Sprintf(form, args...))
	}
	switch {
	case len(d.args()) != 1 || d.block != nil:
		return nil, fail("include should have one value")
	case depth >= maxDepth:
		return nil, fail("files include each other too deeply")
	}
	// As for nginx, the folder is a part of the pattern.
	names := []string{absolute(i.folder, d.args()[0])}
	if strings.ContainsAny(names[0], `[\`) {
		return nil, fail("a pattern of include with brackets or backslashes is not supported")
	}
	if strings.ContainsAny(names[0], "*?") {
		matches, err := i.files.Glob(names[0])
		if err != nil {
			return nil, fail("include %s: %v", names[0], err)
		}
		// As for nginx, a pattern matches hidden files only if it begins with a dot.
		names = slices.DeleteFunc(matches, func(name string) bool { return hidden(name, names[0]) })
		slices.Sort(names)
	}
	var all []*directive
	for _, name := range names {
		data, err := i.files.Read(name)
		if err != nil {
			return nil, fail("include %s: %v (hint: run import on nginx's machine)", name, err)
		}
		list, err := parseNginx(Source{Name: name, Data: data})
		if err != nil {
			return nil, err
		}
		if list, err = i.expand(list, depth+1); err != nil {
			return nil, err
		}
		all = append(all, list...)
	}
	return all, nil
}

// hidden reports whether a name has a segment with a leading dot that the pattern lacks.
func hidden(name, pattern string) bool {
	wanted := strings.Split(pattern, "/")
	for i, segment := range strings.Split(name, "/") {
		if strings.HasPrefix(segment, ".") && i < len(wanted) && !strings.HasPrefix(wanted[i], ".") {
			return true
		}
	}
	return false
}

// absolute returns a path as nginx reads it: relative to the folder of its configuration.
func absolute(folder, name string) string {
	if name == "" || path.IsAbs(name) {
		return name
	}
	return path.Join(folder, name)
}

package main

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"

	"etcd-tlsproxy/cmd/internal/usage"
)

// build is one etcd-tlsproxy program to measure.
type build struct {
	name string
	path string // "" means a build of this checkout
}

// buildName matches the name before the equals sign in a value of --proxy. A path rarely
// matches; ./ before it makes sure that it does not.
var buildName = regexp.MustCompile(`^[a-z0-9][a-z0-9-]*$`)

// parseBuilds reads the values of --proxy. A single build is reported as ours, with or
// without a name; several need a name each, because the report shows them side by side.
func parseBuilds(values []string) ([]build, error) {
	if len(values) == 0 {
		return []build{{name: ours}}, nil
	}
	var builds []build
	for _, value := range values {
		name, path, named := strings.Cut(value, "=")
		if !named || !buildName.MatchString(name) {
			name, path = "", value
		}
		b := build{name: name, path: path}
		switch info, err := os.Stat(path); {
		case err != nil:
			return nil, fmt.Errorf("reading --proxy: %w", err)
		case info.IsDir() || info.Mode()&0o111 == 0:
			return nil, fmt.Errorf("reading --proxy: %s is not a program", path)
		}
		if len(values) == 1 {
			b.name = ours
			return []build{b}, nil
		}
		switch {
		case b.name == "":
			return nil, usage.Mark(fmt.Errorf("reading --proxy: several proxies need a name each, as in --proxy old=%s", path))
		case slices.Contains(proxies, b.name):
			return nil, usage.Mark(fmt.Errorf("reading --proxy: the name %s is reserved", b.name))
		case slices.ContainsFunc(builds, func(other build) bool { return other.name == b.name }):
			return nil, usage.Mark(fmt.Errorf("reading --proxy: the name %s is used twice", b.name))
		}
		builds = append(builds, b)
	}
	return builds, nil
}

package main

import (
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"

	"etcd-tlsproxy/cmd/internal/usage"
)

// ours is the name of this proxy in reports, when only one build of it is measured.
const ours = "ours"

// proxies are the kinds of proxies that can be compared, in the order of the report.
var proxies = []string{ours, "tuned", "profile", "haproxy"}

// contender is a proxy under the circumstances in which a scenario measures it.
type contender struct {
	variant
	name     string
	kind     string // one of proxies
	program  string // the path of ours
	baseline string // the contender that the ratio refers to, if it is not ours
	// streams makes nginx send the head of an answer before there is a body, which
	// watches need.
	streams bool
}

// variant is a set of circumstances under which ours is measured.
type variant struct {
	suffix     string
	config     string // lines to append to the configuration
	limits     string // replaces the limits; by default one address has none
	background *load  // load of other clients during the measurement
	v3         bool   // it serves the v3 store of another etcd
	prefix     string // where its tree is in that store
}

// contenders lists what a scenario compares, the baseline first. Builds are compared
// with each other, and with no other proxy. So are the variants of a single build.
func (sc *scenario) contenders(builds []build) []contender {
	var list []contender
	for _, v := range append([]variant{sc.ours}, sc.variants...) {
		for i, b := range builds {
			c := contender{variant: v, name: b.name, kind: ours, program: b.path}
			switch {
			case v.suffix == "" && i > 0:
				c.baseline = builds[0].name
			case v.suffix == "":
			case len(builds) == 1:
				c.name, c.baseline = v.suffix, b.name
			default:
				c.name += "-" + v.suffix
				if i > 0 {
					c.baseline = builds[0].name + "-" + v.suffix
				}
			}
			list = append(list, c)
		}
	}
	if len(builds) > 1 || sc.variants != nil {
		return list
	}
	for _, kind := range proxies[1:] {
		list = append(list, contender{name: kind, kind: kind})
	}
	return list
}

// selectContenders returns the contenders of a scenario that --only names and that can be
// measured here, and adds them to the comparison. Those that are missing get a note.
func (s *settings) selectContenders(sc *scenario, c *comparison) []contender {
	var list []contender
	for _, v := range sc.contenders(s.builds) {
		if !s.selected(v.kind) {
			continue
		}
		reason := sc.except[v.kind]
		if !installed(v.kind) {
			reason = "it is not installed"
		}
		if v.v3 {
			if release, ok := storeRelease(); ok {
				c.Notes = append(c.Notes, v.name+" serves the v3 store of etcd "+release.Name)
			} else {
				reason = "there is no etcd with a v3 store; make stores builds one"
			}
		}
		if reason != "" {
			c.Notes = append(c.Notes, v.name+" is left out: "+reason)
			continue
		}
		v.streams = sc.watch != nil
		c.add(v)
		list = append(list, v)
	}
	return list
}

// selected reports whether --only includes a kind of proxy.
func (s *settings) selected(kind string) bool {
	return len(s.only) == 0 || slices.Contains(s.only, kind)
}

// installed reports whether a kind of proxy can be measured here.
func installed(kind string) bool {
	program := kind
	switch kind {
	case ours:
		return true
	case "tuned", "profile":
		program = "nginx"
	}
	_, err := exec.LookPath(program)
	return err == nil
}

// inRound returns the order in which a round measures a list. Every second round goes
// backwards: each contender runs before another as often as after it, so that the effects
// of a measurement on the next one (heat, full socket buffers) favor neither.
func inRound[T any](round int, list []T) []T {
	if round%2 == 0 {
		return list
	}
	backwards := slices.Clone(list)
	slices.Reverse(backwards)
	return backwards
}

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

package siteimport

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"

	"etcd-tlsproxy/acl"
)

// ReadFile reads a file, like os.ReadFile.
type ReadFile func(name string) ([]byte, error)

// CheckPasswords compares the htpasswd files with the rules and with each other. In nginx
// each prefix has its own passwords; in this proxy a user has one. Missing files are
// reported, because they could not be compared.
func (s *Site) CheckPasswords(read ReadFile) error {
	hasher := acl.NewHasher(acl.HasherOptions{})
	var sources []acl.Source
	missing := 0
	inFile := map[string]map[string]bool{} // the users of each file
	for _, file := range s.Files() {
		data, err := read(file)
		if errors.Is(err, fs.ErrNotExist) {
			missing++
			continue
		}
		if err != nil {
			return fmt.Errorf("reading a htpasswd file: %w", err)
		}
		source := acl.Source{Name: file, Data: data}
		sources = append(sources, source)
		users, err := acl.ParseUsers(hasher, source)
		if err != nil {
			continue // reported below, where all files are parsed together
		}
		inFile[file] = map[string]bool{}
		for _, name := range users.Names() {
			inFile[file][name] = true
		}
	}
	if missing > 0 {
		s.Assumed = append(s.Assumed, fmt.Sprintf("%d of %d htpasswd files are missing; they were not compared with the rules and with each other", missing, len(s.Files())))
	}
	s.compareUsers(inFile)
	if _, err := acl.ParseUsers(hasher, sources...); err != nil {
		var several interface{ Unwrap() []error }
		if !errors.As(err, &several) {
			return err
		}
		for _, one := range several.Unwrap() {
			s.Conflicts = append(s.Conflicts, one.Error())
		}
	}
	return nil
}

// compareUsers reports users who are in the file of a rule but not in its list, or the
// reverse. nginx decides by the file.
func (s *Site) compareUsers(inFile map[string]map[string]bool) {
	for _, rule := range s.Rules {
		users, ok := inFile[rule.File]
		if !ok {
			continue
		}
		listed := map[string]bool{}
		for _, name := range rule.Write.Names() {
			listed[name] = true
		}
		for _, name := range slices.Sorted(maps.Keys(listed)) {
			if !users[name] {
				s.Conflicts = append(s.Conflicts, fmt.Sprintf("rule %s names user %q, who is not in %s: nginx refuses this user", rule.Prefix, name, rule.File))
			}
		}
		for _, name := range slices.Sorted(maps.Keys(users)) {
			if !listed[name] {
				s.Conflicts = append(s.Conflicts, fmt.Sprintf("user %q is in %s but not in rule %s: nginx lets this user write there", name, rule.File, rule.Prefix))
			}
		}
	}
}

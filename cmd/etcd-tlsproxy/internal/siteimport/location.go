package siteimport

import (
	"regexp"
	"slices"
	"strings"

	"etcd-tlsproxy/acl"
)

// access holds the access rules of a server, a location or a limit_except block.
type access struct {
	basic string // the realm, "off", or "" if not set
	file  string
	at    *directive // the directive of file
	deny  bool
}

// read reads a directive if it is an access rule.
func (a *access) read(r *nginxReader, d *directive) (known bool, err error) {
	switch d.name() {
	case "auth_basic", "auth_basic_user_file":
		if len(d.args()) != 1 || strings.Contains(d.args()[0], "$") {
			return true, r.fail(d, "%s must have one value, without variables", d.name())
		}
		if d.name() == "auth_basic" {
			a.basic = d.args()[0]
		} else {
			a.file, a.at = absolute(d.args()[0]), d
		}
	case "deny":
		if !slices.Equal(d.args(), []string{"all"}) {
			return true, r.fail(d, "rules for addresses are not supported (hint: use a firewall)")
		}
		a.deny = true
	default:
		return false, nil
	}
	return true, nil
}

// inherit adds the rules of the enclosing block, as nginx does.
func (a access) inherit(outer access) access {
	if a.basic == "" {
		a.basic = outer.basic
	}
	if a.file == "" {
		a.file, a.at = outer.file, outer.at
	}
	a.deny = a.deny || outer.deny
	return a
}

// group returns the users who have access, and their htpasswd file.
func (a access) group(r *nginxReader, d *directive) (acl.Group, string, error) {
	switch {
	case a.basic == "" || a.basic == "off":
		return acl.Everyone(), "", nil
	case a.file == "":
		return acl.Group{}, "", r.fail(d, "auth_basic has no auth_basic_user_file")
	}
	users, err := r.usersOf(a.at, a.file)
	return users, a.file, err
}

const keysPath = "/v2/keys"

// readLocation reads a location. One for keys becomes a rule.
func (r *nginxReader) readLocation(d *directive, outer access) error {
	kind, path := "", ""
	switch args := d.args(); len(args) {
	case 1:
		path = args[0]
	case 2:
		kind, path = args[0], args[1]
	default:
		return r.fail(d, "this form of location is not supported")
	}
	if kind == "" && strings.HasPrefix(path, "@") || kind == "=" && !strings.HasPrefix(path, keysPath) || r.pages[path] {
		return nil // an error page, or a single path that is not a key
	}
	if kind == "=" && path == keysPath && len(d.block) == 1 && d.block[0].name() == "return" {
		r.site.Redirects = true
		return nil
	}
	rule, isKeys, err := r.parsePrefix(d, kind, path)
	if err != nil {
		return err
	}
	read, write, passed, err := r.readBlock(d, outer)
	if err != nil {
		return err
	}
	if !isKeys {
		return r.addElsewhere(d, kind, path, passed, read, write)
	}
	if err := r.setTarget(d, kind, path, passed); err != nil {
		return err
	}
	if read.deny {
		return r.fail(d, "denying all reads is not supported")
	}
	if rule.Below && rule.Prefix == acl.Root {
		r.site.Redirects = true // nginx redirects on its own if a location ends with a slash
	}
	if write.deny {
		r.denied = true
		return nil
	}
	var file string
	if rule.Read, file, err = read.group(r, d); err != nil {
		return err
	}
	if rule.Write, rule.File, err = write.group(r, d); err != nil {
		return err
	}
	if file != "" && file != rule.File {
		return r.fail(d, "reads and writes of one prefix have different password files, which is not supported")
	}
	if kind == "~" {
		for _, earlier := range r.regexes {
			if strings.HasPrefix(string(rule.Prefix), string(earlier.Prefix)) {
				return r.fail(d, "the expression for %s never matches, because the one for %s comes first", rule.Prefix, earlier.Prefix)
			}
		}
		r.regexes = append(r.regexes, rule)
	}
	r.site.Rules = append(r.site.Rules, rule)
	return nil
}

// plainRegex matches expressions that are equivalent to a prefix, of bytes or of whole
// segments.
var plainRegex = regexp.MustCompile(`^\^((?:[A-Za-z0-9/_-]|\\[./-])+?)(/?)(\(/\|\$\)|\(\?:/\|\$\)|\(/\.\*\)\?\$)?$`)

// parsePrefix returns the rule of a location, without its users.
func (r *nginxReader) parsePrefix(d *directive, kind, path string) (rule Rule, isKeys bool, err error) {
	switch kind {
	case "", "^~":
	case "~":
		match := plainRegex.FindStringSubmatch(path)
		if match == nil {
			return rule, false, r.fail(d, `the expression %q is not supported (hint: write it like ^/v2/keys/prefix(/|$))`, path)
		}
		path, rule.Whole = strings.ReplaceAll(match[1], `\`, "")+match[2], match[3] != ""
	default:
		return rule, false, r.fail(d, "a location with %s is not supported", kind)
	}
	if !strings.HasPrefix(path, keysPath) {
		if strings.HasPrefix(keysPath, path) && path != "/" {
			return rule, false, r.fail(d, "a location that covers more than %s is not supported", keysPath)
		}
		return rule, false, nil
	}
	key := strings.TrimPrefix(path, keysPath)
	if rule.Below = strings.HasSuffix(key, "/"); rule.Below {
		key = key[:len(key)-1]
	}
	if key == "" {
		key = "/"
	}
	if rule.Prefix, err = acl.NewKey(key); err != nil {
		return rule, true, r.fail(d, "%s: %v", path, err)
	}
	return rule, true, nil
}

// readBlock reads the block of a location: who can read, who can write, and the target.
func (r *nginxReader) readBlock(d *directive, outer access) (read, write access, passed string, err error) {
	var own access
	var except *directive
	for _, inner := range d.block {
		known, err := own.read(r, inner)
		switch {
		case err != nil:
			return read, write, "", err
		case known:
		case inner.name() == "limit_except" && except == nil:
			except = inner
		case inner.name() == "proxy_pass" && len(inner.args()) == 1:
			passed = inner.args()[0]
		case inner.name() == "error_page":
		case !isHarmless(inner):
			return read, write, "", r.fail(inner, "%s in a location is not supported (hint: its effect would be lost; remove the line if that is acceptable)", inner.name())
		}
	}
	read = own.inherit(outer)
	write = read
	if except != nil {
		if err := r.checkMethods(except); err != nil {
			return read, write, "", err
		}
		var inner access
		for _, e := range except.block {
			if known, err := inner.read(r, e); err != nil || !known {
				return read, write, "", r.fail(e, "%s in limit_except is not supported", e.name())
			}
		}
		write = inner.inherit(read)
	}
	return read, write, passed, nil
}

// checkMethods refuses a limit_except that allows writes. GET includes HEAD.
func (r *nginxReader) checkMethods(d *directive) error {
	if !slices.Contains(d.args(), "GET") {
		return r.fail(d, "limit_except without GET is not supported")
	}
	for _, method := range d.args() {
		if !slices.Contains([]string{"GET", "HEAD", "OPTIONS"}, method) {
			return r.fail(d, "limit_except allows %s, which is not supported", method)
		}
	}
	return nil
}

// addElsewhere records a location for paths that are not keys. This proxy closes them,
// except for the reads that clients need.
func (r *nginxReader) addElsewhere(d *directive, kind, path, passed string, read, write access) error {
	if passed == "" {
		return nil
	}
	if read.deny || read.basic != "" && read.basic != "off" {
		return r.fail(d, "reads of paths that are not keys are restricted, which is not supported (hint: write the rules by hand)")
	}
	if path != "/" {
		if !write.deny {
			r.site.OpenElsewhere = append(r.site.OpenElsewhere, path)
		}
		return nil
	}
	r.site.Elsewhere = true
	group, _, err := write.group(r, d)
	if err != nil {
		return err
	}
	if !write.deny && group.IsEveryone() {
		r.site.Uncovered = acl.Everyone()
	}
	return r.setTarget(d, kind, path, passed)
}

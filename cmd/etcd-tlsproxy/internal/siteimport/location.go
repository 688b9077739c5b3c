package siteimport

import (
	"regexp"
	"slices"
	"strings"

	"etcd-tlsproxy/acl"
)

// access is what a server, a location or a limit_except says of who may.
type access struct {
	basic string // the realm, "off", or "" if nothing is said
	file  string
	at    *directive // of file
	deny  bool
}

// take reads a directive, if it is one of these.
func (a *access) read(r *nginxReader, d *directive) (known bool, err error) {
	switch d.name() {
	case "auth_basic", "auth_basic_user_file":
		if len(d.args()) != 1 || strings.Contains(d.args()[0], "$") {
			return true, r.fail(d, "%s should have one value, without variables", d.name())
		}
		if d.name() == "auth_basic" {
			a.basic = d.args()[0]
		} else {
			a.file, a.at = absolute(d.args()[0]), d
		}
	case "deny":
		if !slices.Equal(d.args(), []string{"all"}) {
			return true, r.fail(d, "addresses that are denied are not taken over (hint: a firewall can hold them)")
		}
		a.deny = true
	default:
		return false, nil
	}
	return true, nil
}

// within is what holds inside of another block.
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

// group is who may.
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

// location reads one: a rule if it is for keys.
func (r *nginxReader) readLocation(d *directive, outer access) error {
	kind, path := "", ""
	switch args := d.args(); len(args) {
	case 1:
		path = args[0]
	case 2:
		kind, path = args[0], args[1]
	default:
		return r.fail(d, "this location is not understood")
	}
	if kind == "" && strings.HasPrefix(path, "@") || kind == "=" && !strings.HasPrefix(path, keysPath) || r.pages[path] {
		return nil // what an error shows, or one path that is no key
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
		return r.fail(d, "reads that are denied to all are not taken over")
	}
	if rule.Below && rule.Prefix == acl.Root {
		r.site.Redirects = true // nginx itself does it where a location ends with a slash
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
		return r.fail(d, "reads and writes of one prefix have different password files, which is not taken over")
	}
	if kind == "~" {
		for _, earlier := range r.regexes {
			if strings.HasPrefix(string(rule.Prefix), string(earlier.Prefix)) {
				return r.fail(d, "the expression for %s is hidden by the one for %s before it", rule.Prefix, earlier.Prefix)
			}
		}
		r.regexes = append(r.regexes, rule)
	}
	r.site.Rules = append(r.site.Rules, rule)
	return nil
}

// plainRegex is an expression that is no more than a prefix: bytes, or whole segments.
var plainRegex = regexp.MustCompile(`^\^((?:[A-Za-z0-9/_-]|\\[./-])+?)(/?)(\(/\|\$\)|\(\?:/\|\$\)|\(/\.\*\)\?\$)?$`)

// prefix is the rule that a location is, without its users.
func (r *nginxReader) parsePrefix(d *directive, kind, path string) (rule Rule, isKeys bool, err error) {
	switch kind {
	case "", "^~":
	case "~":
		match := plainRegex.FindStringSubmatch(path)
		if match == nil {
			return rule, false, r.fail(d, `the expression %q is not understood (hint: those like ^/v2/keys/prefix(/|$) are)`, path)
		}
		path, rule.Whole = strings.ReplaceAll(match[1], `\`, "")+match[2], match[3] != ""
	default:
		return rule, false, r.fail(d, "a location with %s is not understood", kind)
	}
	if !strings.HasPrefix(path, keysPath) {
		if strings.HasPrefix(keysPath, path) && path != "/" {
			return rule, false, r.fail(d, "a location that begins above %s is not understood", keysPath)
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

// inside reads a location's block: who may read, who may write, and where it passes to.
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
			return read, write, "", r.fail(inner, "%s in a location is not understood (hint: what it does is not taken over; remove the line if that is well)", inner.name())
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
				return read, write, "", r.fail(e, "%s in limit_except is not understood", e.name())
			}
		}
		write = inner.inherit(read)
	}
	return read, write, passed, nil
}

// methods refuses a limit_except that lets writes through: GET stands for HEAD as well.
func (r *nginxReader) checkMethods(d *directive) error {
	if !slices.Contains(d.args(), "GET") {
		return r.fail(d, "limit_except without GET is not understood")
	}
	for _, method := range d.args() {
		if !slices.Contains([]string{"GET", "HEAD", "OPTIONS"}, method) {
			return r.fail(d, "limit_except lets %s through, which is not taken over", method)
		}
	}
	return nil
}

// elsewhere is a location for all that is no key. Nothing of it is taken over: it is
// closed here, but for the reads that clients need.
func (r *nginxReader) addElsewhere(d *directive, kind, path, passed string, read, write access) error {
	if passed == "" {
		return nil
	}
	if read.deny || read.basic != "" && read.basic != "off" {
		return r.fail(d, "reads of what is no key are restricted, which is not taken over (hint: write the rules by hand)")
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

package siteimport

import (
	"regexp"
	"slices"
	"strings"

	"etcd-tlsproxy/acl"
)

const (
	keysPath    = "/v2/keys"
	membersPath = "/v2/members"
)

// openPaths are the paths besides those of keys and members that this proxy lets everyone
// read.
var openPaths = []string{"/v2/machines", "/v2/stats/self", "/v2/stats/store", "/v2/stats/leader", "/version", "/health", "/metrics"}

// plainRegex matches expressions that are equivalent to a prefix, of bytes or of whole
// segments.
var plainRegex = regexp.MustCompile(`^\^((?:[A-Za-z0-9/_-]|\\[./-])+?)(/?)(\(/\|\$\)|\(\?:/\|\$\)|\(/\.\*\)\?\$)?$`)

// splitLocation returns the modifier and the path of a location. nginx does not need a
// blank between them.
func splitLocation(args []string) (kind, path string, ok bool) {
	switch len(args) {
	case 1:
		for _, kind := range []string{"=", "^~", "~*", "~"} {
			if path, found := strings.CutPrefix(args[0], kind); found {
				return kind, path, true
			}
		}
		return "", args[0], true
	case 2:
		return args[0], args[1], slices.Contains([]string{"=", "^~", "~*", "~"}, args[0])
	}
	return "", "", false
}

// parseLocation reads the name of a location.
func (r *nginxReader) parseLocation(d *directive) (*location, error) {
	kind, path, ok := splitLocation(d.args())
	l := &location{at: d, kind: kind, path: path}
	switch {
	case !ok:
		return nil, r.fail(d, "this form of location is not supported")
	case kind == "~*":
		return nil, r.fail(d, "a location with ~* is not supported (hint: if it is for keys, write it with ~; otherwise remove it from a copy, if its effect may be lost)")
	case kind == "~":
		match := plainRegex.FindStringSubmatch(path)
		if match == nil || match[2] != "" && match[3] != "" {
			return nil, r.fail(d, `the expression %q is not supported (hint: if it is for keys, write it like ^/v2/keys/prefix(/|$); otherwise remove it from a copy, if its effect may be lost)`, path)
		}
		l.path, l.whole = strings.ReplaceAll(match[1], `\`, "")+match[2], match[3] != ""
		if strings.HasPrefix(keysPath, l.path) && l.path != keysPath {
			return nil, r.fail(d, "an expression that begins above %s is not supported (hint: write a location with a prefix instead)", keysPath)
		}
	}
	return l, nil
}

// matters reports whether a location can serve a path that this proxy serves. All other
// paths are closed here, whatever nginx did with them.
func (l *location) matters() bool {
	if strings.HasPrefix(l.path, keysPath) || strings.HasPrefix(l.path, membersPath) {
		return true
	}
	for _, path := range append([]string{keysPath, membersPath}, openPaths...) {
		if l.covers(path) || l.covers(path+"/") {
			return true
		}
	}
	return false
}

// readLocation reads a location. One for keys becomes a rule.
func (r *nginxReader) readLocation(d *directive, outer settings) error {
	if len(d.args()) == 1 && strings.HasPrefix(d.args()[0], "@") {
		r.checkKnown(d.block) // requests get here only from directives that are refused themselves
		return nil
	}
	l, err := r.parseLocation(d)
	if err != nil {
		return err
	}
	switch {
	case !l.matters():
		r.addClosed(l, outer)
		return nil
	case l.kind == "=" && l.path == keysPath && isSlashRedirect(d.block):
		l.redirects = true
		r.site.Redirects = true
		r.locations = append(r.locations, l)
		return nil
	case l.kind == "=" && strings.HasPrefix(l.path, keysPath):
		return r.fail(d, "a location with = for keys is not supported, because a rule covers a key and everything below it (hint: write a location with a prefix, if it may decide about all of this)")
	}
	read, write, err := r.readBlock(l, outer)
	if err != nil {
		return err
	}
	var readFile, writeFile string
	if l.read, readFile, err = r.group(read); err != nil {
		return err
	}
	if l.write, writeFile, err = r.group(write); err != nil {
		return err
	}
	if l.passed != "" {
		if r.limits[l], err = r.maxBody(read); err != nil {
			return err
		}
	}
	r.locations = append(r.locations, l)
	r.sources[l] = passwordFiles{readFile, writeFile}
	if strings.HasPrefix(l.path, keysPath) {
		return r.addRule(l)
	}
	if l.passed != "" && l.path != "/" && l.write.IsEveryone() {
		r.site.OpenElsewhere = append(r.site.OpenElsewhere, l.path)
	}
	return nil
}

// isSlashRedirect reports whether a block redirects /v2/keys to the path with a slash.
func isSlashRedirect(block []*directive) bool {
	if len(block) != 1 || block[0].name() != "return" {
		return false
	}
	args := block[0].args()
	if len(args) == 2 && slices.Contains([]string{"301", "302", "307", "308"}, args[0]) {
		args = args[1:]
	}
	return len(args) == 1 && strings.HasSuffix(strings.TrimSuffix(args[0], "$is_args$args"), keysPath+"/")
}

// addRule adds the rule of a location for keys.
func (r *nginxReader) addRule(l *location) error {
	rule := Rule{Whole: l.whole, Read: l.read, Write: l.write, File: r.sources[l].write}
	key := strings.TrimPrefix(l.path, keysPath)
	if rule.Below = strings.HasSuffix(key, "/"); rule.Below {
		key = key[:len(key)-1]
	}
	if key == "" {
		key = "/"
	}
	var err error
	if rule.Prefix, err = acl.NewKey(key); err != nil {
		return r.fail(l.at, "%s: %v", l.path, err)
	}
	if err := r.setTarget(l.at, l.passed); err != nil {
		return err
	}
	if rule.Below && rule.Prefix == acl.Root {
		r.site.Redirects = true // nginx redirects on its own if a location ends with a slash
	}
	switch {
	case isNobody(l.read):
		return r.fail(l.at, "denying all reads is not supported, because a rule must name someone who can read (hint: let one user read, with auth_basic)")
	case isNobody(l.write):
		r.denied = append(r.denied, l)
		return nil
	case r.sources[l].read != "" && r.sources[l].read != rule.File:
		return r.fail(l.at, "reads and writes of one prefix have different password files, which is not supported (hint: in a copy, use the file with fewer users for both, and add the other users to [acls])")
	}
	r.site.Rules = append(r.site.Rules, rule)
	return nil
}

// isNobody reports whether a group is empty.
func isNobody(g acl.Group) bool { return !g.IsEveryone() && len(g.Names()) == 0 }

// readBlock reads the block of a location: who can read, who can write, and the target.
func (r *nginxReader) readBlock(l *location, outer settings) (read, write settings, err error) {
	var except *directive
	internal := false
	read, err = r.block(outer, l.at.block, func(d *directive) error {
		switch {
		case d.name() == "limit_except" && except == nil:
			except = d
		case d.name() == "proxy_pass" && len(d.args()) == 1:
			target, err := r.parseTarget(d, l)
			l.passed = target
			return err
		case d.name() == "internal":
			internal = true
		case d.name() == "error_page":
			r.pages = append(r.pages, d)
		default:
			r.check(d)
		}
		return nil
	})
	if err != nil {
		return read, write, err
	}
	read.deny = read.deny || internal // clients get 404
	write = read
	if except == nil {
		return read, write, nil
	}
	if err := r.checkMethods(except); err != nil {
		return read, write, err
	}
	write, err = r.block(read, except.block, func(d *directive) error {
		r.check(d)
		return nil
	})
	return read, write, err
}

// checkMethods refuses a limit_except that allows writes. GET includes HEAD.
func (r *nginxReader) checkMethods(d *directive) error {
	if !slices.Contains(d.args(), "GET") {
		return r.fail(d, "limit_except without GET is not supported, because a rule distinguishes reads and writes (hint: set auth_basic for the whole location)")
	}
	for _, method := range d.args() {
		if !slices.Contains([]string{"GET", "HEAD", "OPTIONS"}, method) {
			return r.fail(d, "limit_except allows %s, which is not supported, because a rule covers all writes (hint: allow only GET, HEAD and OPTIONS)", method)
		}
	}
	return nil
}

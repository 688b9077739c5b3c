package config

import (
	"strings"
)

// V3 reports whether keys are in a v3 store.
func (u *Upstream) V3() bool { return u.API == "v3" }

// Auto reports whether the v3 store says where the keys are.
func (u *Upstream) Auto() bool { return u.API == "auto" }

// checkAPI checks the settings that depend on the API of etcd.
func (c *Parsed) checkAPI(errs *Errors) {
	u := &c.Upstream
	if !u.V3() && !u.Auto() {
		usual := Default().Upstream
		onlyV3 := func(set bool, key string) {
			if set {
				errs.Add("the key has no effect without upstream.api = \"v3\"", "remove it, or set upstream.api", "upstream", key)
			}
		}
		onlyV3(u.Prefix != usual.Prefix, "prefix")
		onlyV3(u.PlainReads != usual.PlainReads, "plain_reads")
		onlyV3(u.ServeStale != usual.ServeStale, "serve_stale")
		shadow := c.Shadow.Sample > 0
		onlyV3(!shadow && u.Compact != usual.Compact, "compact")
		onlyV3(!shadow && u.QuotaBytes != usual.QuotaBytes, "quota_bytes")
		return
	}
	if u.Forwards() {
		errs.Add("the credentials of clients cannot be forwarded with api = \""+u.API+"\", because the proxy answers from its own copy of the store",
			"remove the key, and name etcd's user of the proxy in upstream.user", "upstream", "credentials")
	}
	if u.ServeStale && u.PlainReads == "linearizable" {
		errs.Add("reads cannot be linearizable and stale", "set serve_stale to false, or plain_reads to \"mirror\"", "upstream", "serve_stale")
	}
	if problem, hint := CheckPrefix(u.Prefix); problem != "" {
		errs.Add(problem, hint, "upstream", "prefix")
	}
}

// CheckPrefix says what is wrong with a prefix of a tree, and what helps. Nothing is wrong if the problem is empty.
func CheckPrefix(prefix string) (problem, hint string) {
	switch {
	case strings.HasSuffix(prefix, "/"):
		return "the prefix ends with a slash, and each key of the tree begins with one", "remove the slash"
	case len(prefix) > maxPrefix || strings.ContainsFunc(prefix, func(r rune) bool { return r <= ' ' || r >= 0x7f }):
		return "not a valid prefix", "choose up to 256 visible ASCII characters"
	}
	return "", ""
}

// maxPrefix bounds the prefix, which is a part of each key in etcd.
const maxPrefix = 256

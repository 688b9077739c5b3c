package config

import (
	"cmp"
	"slices"

	"etcd-tlsproxy/proxy/upstream"
)

// RehearsalPrefix returns the prefix of the copy that a rehearsal makes, unless it is given another one.
func (u *Upstream) RehearsalPrefix() string { return u.Prefix + "rehearsal" }

func (c *Parsed) checkShadow(errs *Errors) {
	s := &c.Shadow
	if s.Sample > 0 && c.Upstream.V3() {
		errs.Add("there is nothing to compare with api = \"v3\": the v2 API has no keys", "set it to 0", "shadow", "sample")
	}
	if problem, hint := CheckPrefix(s.Prefix); problem != "" {
		errs.Add(problem, hint, "shadow", "prefix")
	}
	if len(s.Endpoints) == 0 && s.Prefix != "" && s.Prefix == c.Upstream.Prefix {
		errs.Add("the prefix is that of the keys that are served", "use that of migrate rehearse", "shadow", "prefix")
	}
	for _, text := range s.Endpoints {
		e, err := upstream.ParseEndpoint(text)
		if err != nil {
			// The text is not repeated: it may contain a password.
			errs.Add("an endpoint is not a valid client URL: "+err.Error(), `write it as in "http://127.0.0.1:2379"`, "shadow", "endpoints")
			continue
		}
		if slices.Contains(c.ShadowEndpoints, e) {
			errs.Add("an endpoint is listed twice", "remove one", "shadow", "endpoints")
		}
		c.ShadowEndpoints = append(c.ShadowEndpoints, e)
	}
}

// ShadowPrefix returns the prefix of the copy.
func (c *Config) ShadowPrefix() string { return cmp.Or(c.Shadow.Prefix, c.Upstream.RehearsalPrefix()) }

package siteimport

import (
	"fmt"
	"regexp"
	"strings"
)

// lookup matches the interpolation of a variable: a top-scope variable or a fact.
var lookup = regexp.MustCompile(`%\{ *(?:::|facts\.|facts\.networking\.|trusted\.)?([a-z][a-z0-9_]*) *\}`)

// interpolate replaces the lookups in a text by the facts. Hiera interpolates every string,
// so text that looks like a lookup is never taken literally. If keepDomain is set, a domain
// that is not given stays in the text.
func (o *HieraOptions) interpolate(what, text string, keepDomain bool) (string, error) {
	missing, kept := "", 0
	result := lookup.ReplaceAllStringFunc(text, func(form string) string {
		name := lookup.FindStringSubmatch(form)[1]
		value, known := o.Facts[name]
		switch {
		case name == "domain" && o.Domain != "":
			return o.Domain
		case known:
			return value
		case name == "domain" && keepDomain:
			kept++
			return form
		}
		missing = name
		return ""
	})
	switch {
	case missing != "":
		return "", fmt.Errorf("reading hiera: %s needs the value of %s (hint: give it with --fact %s=VALUE)", what, missing, missing)
	case strings.Count(result, "%{") > kept:
		return "", fmt.Errorf("reading hiera: the interpolation in %s, %q, is not supported (hint: only variables such as %%{::site} can be replaced; write the value itself)", what, text)
	}
	return result, nil
}

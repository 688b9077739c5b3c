package main

import (
	"encoding/base64"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"etcd-tlsproxy/acl"
	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/siteimport"
)

// oddText is a request in parts, as nginx reads it. Nothing in it is checked.
type oddText struct {
	leading         bool // with blank lines before the request
	bareLF          bool // in the head
	line            string
	method, version string
	path, query     string
	fields          []string // the lines of the head behind the first, without their ends
	body            string   // with the requests that follow
}

func parseOdd(text string) *oddText {
	o := &oddText{}
	rest := strings.TrimLeft(text+following, "\r\n")
	o.leading = len(rest) != len(text+following)
	var target string
	for first := true; rest != ""; first = false {
		line, after, _ := strings.Cut(rest, "\n")
		rest = after
		line, crlf := strings.CutSuffix(line, "\r")
		o.bareLF = o.bareLF || !crlf
		if line == "" {
			break
		}
		if !first {
			o.fields = append(o.fields, line)
			continue
		}
		o.line = line
		words := strings.Split(line, " ")
		o.method, o.version = words[0], words[len(words)-1]
		if len(words) > 2 {
			target = strings.Join(words[1:len(words)-1], " ")
		}
	}
	o.body = rest
	if _, after, absolute := strings.Cut(target, "://"); absolute && !strings.HasPrefix(target, "/") {
		target = after[min(len(after), max(0, strings.IndexAny(after+"/", "/?"))):]
	}
	o.path, o.query, _ = strings.Cut(target, "?")
	return o
}

// field returns the values of all fields with a name, in any case.
func (o *oddText) field(name string) (values []string) {
	for _, line := range o.fields {
		if found, value, ok := strings.Cut(line, ":"); ok && strings.EqualFold(found, name) {
			values = append(values, strings.Trim(value, " "))
		}
	}
	return values
}

func (o *oddText) has(pattern *regexp.Regexp) bool {
	return slices.ContainsFunc(o.fields, pattern.MatchString)
}

var (
	plainLine     = regexp.MustCompile(`^[!-~]+ (/|https?://[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*(:[0-9]+)?/)\S* HTTP/1\.[01]$`)
	plainField    = regexp.MustCompile("^[!#$%&'*+.^_`|~0-9A-Za-z-]+:[^\\x00-\\x08\\x0a-\\x1f\\x7f]*$")
	plainHost     = regexp.MustCompile(`^(\w|\[[\w:.]+\]$|\[[\w:.]+\]:)[\w.:-]*$`)
	plainList     = regexp.MustCompile("^[!#$%&'*+.^_`|~0-9A-Za-z, \t-]*$")
	listOfTokens  = regexp.MustCompile("^([ \t]*[^ \t,]*[ \t]*,)*[ \t]*[^ \t,]*[ \t]*$")
	mimic         = regexp.MustCompile(`(?i)^(content[_-]length|content[_-]type|transfer[_-]encoding|x[_-]forwarded[_-]for|x[_-]real[_-]ip):`)
	chunkedCoding = regexp.MustCompile(`(?i)^transfer-encoding:`)
)

// oddReasons say for each class of the import's list whether it is about a request.
var oddReasons = map[string]func(*oddText) bool{
	siteimport.Methods: func(o *oddText) bool {
		return !slices.Contains([]string{"GET", "HEAD", "PUT", "POST", "DELETE"}, o.method)
	},
	siteimport.Spelling: func(o *oddText) bool {
		_, err := acl.ParsePath(o.path)
		return err != nil || strings.ContainsAny(o.query, "#; \t\x7f") || strings.ContainsFunc(o.query, func(r rune) bool { return r < ' ' })
	},
	siteimport.Redirect:  func(o *oddText) bool { return decoded(o.path) == "/v2/keys" },
	siteimport.Elsewhere: func(o *oddText) bool { return !strings.HasPrefix(decoded(o.path)+"/", "/v2/keys/") },
	siteimport.Reserved:  func(o *oddText) bool { return acl.Key(decoded(o.path)).Reserved() },
	siteimport.RawPrefix: func(o *oddText) bool {
		for _, prefix := range []string{"/v2/keys/conftool", "/v2/keys/eventlogging"} {
			if after, ok := strings.CutPrefix(decoded(o.path), prefix); ok && after != "" && after[0] != '/' {
				return true
			}
		}
		return false
	},
	siteimport.RulesBelow: func(o *oddText) bool { return decoded(o.path) == "/v2/keys/" },
	siteimport.Credentials: func(o *oddText) bool {
		return slices.ContainsFunc(o.field("Authorization"), func(value string) bool {
			_, text, ok := strings.Cut(value, " ")
			data, err := base64.StdEncoding.DecodeString(strings.Trim(text, " "))
			return ok && (err != nil || strings.Contains(string(data), "\x00"))
		})
	},
	siteimport.Limits: func(o *oddText) bool { return len(o.fields) > 100 || len(o.line) > 4000 },
	siteimport.Lines: func(o *oddText) bool {
		return o.leading || o.bareLF || !plainLine.MatchString(o.line) || slices.ContainsFunc(o.fields, func(line string) bool { return !plainField.MatchString(line) })
	},
	siteimport.Fields: func(o *oddText) bool {
		host, connection := o.field("Host"), o.field("Connection")
		tab := func(line string) bool {
			_, value, _ := strings.Cut(line, ":")
			value = strings.Trim(value, " ")
			return strings.Trim(value, "\t") != value
		}
		return slices.ContainsFunc(o.fields, tab) || slices.ContainsFunc(host, func(value string) bool { return !plainHost.MatchString(value) || strings.Contains(value, "..") }) || len(o.field("Content-Type")) > 1 || len(o.field("Upgrade")) > 0 ||
			slices.ContainsFunc(connection, func(value string) bool { return !plainList.MatchString(value) || !listOfTokens.MatchString(value) }) ||
			slices.ContainsFunc(o.field("Expect"), func(value string) bool { return !strings.EqualFold(value, "100-continue") }) ||
			slices.ContainsFunc(o.fields, func(line string) bool {
				return mimic.MatchString(line) && strings.Contains(strings.SplitN(line, ":", 2)[0], "_")
			})
	},
	siteimport.Repeated: func(o *oddText) bool {
		for i, line := range o.fields {
			name, _, _ := strings.Cut(line, ":")
			if slices.ContainsFunc(o.fields[:i], func(other string) bool { return strings.EqualFold(strings.SplitN(other, ":", 2)[0], name) }) {
				return true
			}
		}
		return false
	},
	siteimport.Bodies: func(o *oddText) bool {
		return o.has(chunkedCoding) && !plainChunks(o.body)
	},
}

// plainChunks reports whether a chunked body has nothing but chunks, and trailers that are
// fields.
func plainChunks(body string) bool {
	for {
		digits, rest, found := strings.Cut(body, "\r\n")
		size, err := strconv.ParseUint(digits, 16, 16)
		switch {
		case !found || err != nil || !isHex(digits):
			return false
		case size == 0:
			trailers, _, ended := strings.Cut("\r\n"+rest, "\r\n\r\n")
			return ended && !slices.ContainsFunc(strings.Split(trailers, "\r\n")[1:], func(line string) bool { return !plainField.MatchString(line) })
		case uint64(len(rest)) < size+2 || rest[size:size+2] != "\r\n":
			return false
		}
		body = rest[size+2:]
	}
}

func isHex(text string) bool { return strings.Trim(text, "0123456789abcdefABCDEF") == "" }

// decoded returns the path in canonical form, or the path itself if it has none.
func decoded(path string) string {
	canonical, err := acl.ParsePath(path)
	if err != nil || !utf8.ValidString(path) {
		return path
	}
	return canonical.Decoded
}

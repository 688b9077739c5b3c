package statuspage

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"html/template"
	"net/http"
	"reflect"
	"time"
)

// Options holds the sources of a page.
type Options struct {
	// Read is called for each response. The page adds time, uptime and problems.
	Read func() *Status
	// KnownHost reports whether a host name is this machine's. Addresses and localhost
	// are always accepted.
	KnownHost func(host string) bool
}

// Page serves the page and its JSON.
type Page struct {
	options Options
	html    *template.Template
	policy  string
}

//go:embed page.html
var pageHTML string

//go:embed page.css
var pageCSS string

//go:embed page.js
var pageJS string

// New returns a page.
func New(o Options) *Page {
	p := &Page{options: o}
	p.html = template.Must(template.New("page").Parse(pageHTML))
	// Style and script are inline and allowed by their digests. The page loads and runs
	// nothing else, whatever markup gets into it, and connects only to its own origin.
	p.policy = "default-src 'none'; script-src '" + digest(pageJS) + "'; style-src '" + digest(pageCSS) + "'; img-src data:; connect-src 'self'; " +
		"base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
	return p
}

func digest(text string) string {
	sum := sha256.Sum256([]byte(text))
	return "sha256-" + base64.StdEncoding.EncodeToString(sum[:])
}

// HTML serves the page.
func (p *Page) HTML() http.Handler {
	return p.Guard(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		status, now := p.read()
		var page bytes.Buffer
		v, err := newView(p, status, now)
		if err == nil {
			err = p.html.Execute(&page, v)
		}
		if err != nil {
			panic("BUG: the page cannot be rendered: " + err.Error())
		}
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.Header().Set("Content-Security-Policy", p.policy)
		_, _ = w.Write(page.Bytes()) // an error means that the client has gone
	}))
}

// JSON serves a [Status].
func (p *Page) JSON() http.Handler {
	return p.Guard(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		status, _ := p.read()
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
		_, _ = w.Write(append(status, '\n'))
	}))
}

func (p *Page) read() ([]byte, time.Time) {
	s := p.options.Read()
	s.Time = time.Now().UTC().Truncate(time.Millisecond)
	s.UptimeSeconds = int64(s.Time.Sub(s.Started).Seconds())
	s.Problems = s.problems()
	emptyLists(reflect.ValueOf(s))
	status, err := json.Marshal(s)
	if err != nil {
		panic(fmt.Sprintf("BUG: the status cannot be encoded: %v", err))
	}
	return status, s.Time
}

// emptyLists replaces each list that is nil, which JSON would write as null. Scripts that read
// all items of a list fail on null.
func emptyLists(v reflect.Value) {
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			emptyLists(v.Elem())
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				emptyLists(v.Field(i))
			}
		}
	case reflect.Slice:
		if v.IsNil() {
			v.Set(reflect.MakeSlice(v.Type(), 0, 0))
		}
		for i := range v.Len() {
			emptyLists(v.Index(i))
		}
	}
}

// Style returns the style of the page. It is constant, so it need not be escaped.
func (v *view) Style() template.CSS { return template.CSS(pageCSS) }

// Script returns the script of the page. It is constant, so it need not be escaped.
func (v *view) Script() template.JS { return template.JS(pageJS) }

package http1

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

// assembled is a request that would be accepted.
func assembled() (method, target, authority string, header map[string][]string) {
	return "PUT", "/v2/keys/a", "conf1001:4001", map[string][]string{"Content-Type": {"text/plain"}}
}

func TestARequestOfHTTP2IsReadByTheSameGrammar(t *testing.T) {
	for what, c := range map[string]struct {
		change func(method, target, authority *string, header map[string][]string)
		want   error
	}{
		"a good request":        {nil, nil},
		"a method of no token":  {func(method, _, _ *string, _ map[string][]string) { *method = "PU T" }, errRequestLine},
		"no method":             {func(method, _, _ *string, _ map[string][]string) { *method = "" }, errRequestLine},
		"no target":             {func(_, target, _ *string, _ map[string][]string) { *target = "" }, errRequestLine},
		"a blank in the target": {func(_, target, _ *string, _ map[string][]string) { *target = "/a b" }, errRequestLine},
		"a bad authority":       {func(_, _, authority *string, _ map[string][]string) { *authority = "a/b" }, errHost},
		"no authority":          {func(_, _, authority *string, _ map[string][]string) { *authority = "" }, errNoHost},
		"the Host repeats it":   {func(_, _, authority *string, h map[string][]string) { h["Host"] = []string{*authority} }, nil},
		"another Host":          {func(_, _, _ *string, h map[string][]string) { h["Host"] = []string{"other"} }, errTwoHosts},
		"two Hosts":             {func(_, _, authority *string, h map[string][]string) { h["Host"] = []string{*authority, *authority} }, errTwoHosts},
		"a value like the Host's": {func(_, _, authority *string, h map[string][]string) {
			h["Authorization"] = []string{*authority, *authority}
		}, errAuthorizations},
		"a length like the Host's": {func(_, _, authority *string, h map[string][]string) { h["Content-Length"] = []string{*authority} }, errLength},
		"two types":                {func(_, _, _ *string, h map[string][]string) { h["Content-Type"] = []string{"a", "b"} }, errContentTypes},
		"an expectation":           {func(_, _, _ *string, h map[string][]string) { h["Expect"] = []string{"x"} }, errExpect},
		"an underscore":            {func(_, _, _ *string, h map[string][]string) { h["Content_length"] = []string{"1"} }, errUnderscore},
		"a length that is none":    {func(_, _, _ *string, h map[string][]string) { h["Content-Length"] = []string{"+1"} }, errLength},
		"no value":                 {func(_, _, _ *string, h map[string][]string) { h["X"] = nil }, nil},
		"as many fields as fit":    {func(_, _, _ *string, h map[string][]string) { h["X"] = strings.Split(strings.Repeat(",", 97), ",") }, nil},
		"too many fields":          {func(_, _, _ *string, h map[string][]string) { h["X"] = strings.Split(strings.Repeat(",", 98), ",") }, errFieldCount},
	} {
		method, target, authority, header := assembled()
		if c.change != nil {
			c.change(&method, &target, &authority, header)
		}
		var r Request
		if err := r.Assemble(method, target, authority, header, Limits{}); !errors.Is(err, c.want) && (err != nil || c.want != nil) {
			t.Errorf("Assemble with %s: got the error %v, want %v", what, err, c.want)
		}
	}
}

func TestWhatARequestOfHTTP2Says(t *testing.T) {
	var r Request
	if err := r.Assemble("GET", "/", "first", map[string][]string{"A": {"1"}, "B": {"2"}}, Limits{}); err != nil {
		t.Fatal(err)
	}
	method, target, authority, header := assembled()
	header["Authorization"] = []string{" \tBasic eDp5 "}
	if err := r.Assemble(method, target, authority, header, Limits{}); err != nil {
		t.Fatal(err)
	}
	got := fmt.Sprintf("%s %s HTTP/1.%d, host %s, type %s, authorization %q, %d fields, close %t", r.Method, r.Target, r.Minor, r.Host, r.ContentType, r.Authorization, len(r.Fields), r.Close)
	if want := `PUT /v2/keys/a HTTP/1.1, host conf1001:4001, type text/plain, authorization "Basic eDp5", 3 fields, close false`; got != want {
		t.Errorf("a request that is assembled after another: got %s, want %s", got, want)
	}
	delete(header, "Authorization")
	header["Host"] = []string{"by-field"}
	if err := r.Assemble(method, target, "", header, Limits{}); err != nil || r.Host != "by-field" || len(r.Fields) != 2 {
		t.Errorf("a request whose host is in a field: got the host %q and %d fields, %v; want by-field and 2", r.Host, len(r.Fields), err)
	}
}

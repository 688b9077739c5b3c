package http1

import "strings"

// Assemble makes a request of the parts of a head that an HTTP/2 server has read, by the
// same grammar that Parse applies to a head of HTTP/1.1. The server must have refused the
// fields of connections and codings, which HTTP/2 does not have, and bounded the size.
// authority is that of the pseudo-header field or, without one, of the Host. The names in
// header are in their canonical form. The error is an [*Error].
func (r *Request) Assemble(method, target, authority string, header map[string][]string, limits Limits) error {
	if refused := r.assemble(method, target, authority, header, &limits); refused != nil {
		return refused
	}
	return nil
}

func (r *Request) assemble(method, target, authority string, header map[string][]string, limits *Limits) *Error {
	*r = Request{Fields: r.Fields[:0], Minor: 1, Method: method, Target: target}
	if !isToken(method) || !isTarget(target) {
		return errRequestLine
	}
	var seen seenFields
	if authority != "" {
		if err := r.add(Field{"Host", authority}, &seen, limits); err != nil {
			return err
		}
	}
	for name, values := range header {
		if name == "Host" && len(values) == 1 && values[0] == authority {
			continue // it is the authority, or repeats it
		}
		for _, value := range values {
			if err := r.add(Field{name, strings.Trim(value, " \t")}, &seen, limits); err != nil {
				return err
			}
		}
	}
	return r.end(&seen)
}

package http1

import (
	"strconv"
)

// Outgoing is the head of a request to a server. No fields other than these are ever
// sent.
type Outgoing struct {
	Method, Target, Host                           string
	ContentType, Accept, AcceptEncoding, UserAgent string // left out if ""
	ForwardedFor, RealIP, Authorization            string // left out if ""
	// Length is the number of bytes in the body, or below 0 for no body.
	Length int64
}

// AppendRequest appends the head to dst.
func AppendRequest(dst []byte, o *Outgoing) []byte {
	dst = append(dst, checked(o.Method)...)
	dst = append(dst, ' ')
	dst = append(dst, checked(o.Target)...)
	dst = append(dst, " HTTP/1.1\r\n"...)
	dst = appendField(dst, "Host", o.Host)
	dst = appendField(dst, "User-Agent", o.UserAgent)
	dst = appendField(dst, "Accept", o.Accept)
	dst = appendField(dst, "Accept-Encoding", o.AcceptEncoding)
	dst = appendField(dst, "Content-Type", o.ContentType)
	dst = appendField(dst, "X-Forwarded-For", o.ForwardedFor)
	dst = appendField(dst, "X-Real-IP", o.RealIP)
	dst = appendField(dst, "Authorization", o.Authorization)
	if o.Length >= 0 {
		dst = append(dst, "Content-Length: "...)
		dst = strconv.AppendInt(dst, o.Length, 10)
		dst = append(dst, "\r\n"...)
	}
	return append(dst, "\r\n"...)
}

func appendField(dst []byte, name, value string) []byte {
	if value == "" {
		return dst
	}
	dst = append(dst, name...)
	dst = append(dst, ": "...)
	dst = append(dst, checked(value)...)
	return append(dst, "\r\n"...)
}

// checked panics on control bytes. Every value was accepted by a grammar that excludes
// them, so one here is our bug. This is the last defense against header injection.
func checked(s string) string {
	if hasControl(s) {
		panic("BUG: a control byte on its way into a request's head")
	}
	return s
}

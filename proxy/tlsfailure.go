package proxy

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"syscall"

	"etcd-tlsproxy/proxy/lane"
)

// handshakeFailure returns why a handshake failed, from the closed set of the metric.
func handshakeFailure(err error) string {
	if record, ok := errors.AsType[tls.RecordHeaderError](err); ok {
		if record.Conn != nil && looksLikeHTTP(record.RecordHeader) {
			return "plain_http"
		}
		return "no_tls"
	}
	if invalid, ok := errors.AsType[x509.CertificateInvalidError](err); ok {
		if invalid.Reason == x509.Expired {
			return "expired_certificate"
		}
		return "untrusted_certificate"
	}
	if _, ok := errors.AsType[x509.UnknownAuthorityError](err); ok {
		return "untrusted_certificate"
	}
	// The client ended the handshake with an alert, for example because it does not trust
	// this server's certificate.
	if remote, ok := errors.AsType[*net.OpError](err); ok && remote.Op == "remote error" {
		return "rejected_by_client"
	}
	switch {
	case errors.Is(err, context.Canceled):
		return "draining"
	case errors.Is(err, os.ErrDeadlineExceeded):
		return "timeout"
	case errors.Is(err, lane.ErrTooLarge):
		return "too_large"
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return "client_gone"
	}
	// crypto/tls has no types for these; a test holds their texts.
	for text, reason := range map[string]string{
		"unsupported versions": "version", "no cipher suite": "cipher", "didn't provide a certificate": "no_certificate",
	} {
		if strings.Contains(err.Error(), text) {
			return reason
		}
	}
	return "other"
}

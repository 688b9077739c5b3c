// Package proxyheader reads the header of the PROXY protocol, with which a load balancer
// names the client of a connection that it passes on.
//
// Both versions of the protocol are read. The bytes behind the header belong to the client,
// so the header is read without them: the package finds its end, and go-proxyproto parses
// what was read.
package proxyheader

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"syscall"

	"github.com/pires/go-proxyproto"
)

// MaxBytes bounds a header. The addresses need at most 107 bytes. The rest is for what
// balancers append about the client's TLS and about themselves, which is ignored.
const MaxBytes = 4096

const (
	minBytes   = 15  // of the shortest header, PROXY UNKNOWN
	maxLine    = 107 // of a header of version 1
	fixedPart  = 16  // of a header of version 2, whose last bytes are the length of the rest
	lengthFrom = 14
)

// The errors of [Read], beside those of the connection. None of them repeats what was read.
var (
	// ErrNone means that there is no header.
	ErrNone = errors.New("it does not begin with a header of the PROXY protocol")
	// ErrTooLong means that the header has more than [MaxBytes], or than a line may have.
	ErrTooLong = errors.New("the header is too long")
	// ErrMalformed means that the header does not follow the protocol.
	ErrMalformed = errors.New("the header is malformed")
	// ErrFamily means that the header is not about a client of TCP over IPv4 or IPv6.
	ErrFamily = errors.New("the header does not name a client of TCP over IPv4 or IPv6")
	// ErrAddress means that the client's address is one that no client has.
	ErrAddress = errors.New("the header names an address that no client has")
	// ErrIncomplete means that the connection ended within the header.
	ErrIncomplete = errors.New("the connection ended before the end of the header")
)

// Read reads a header from r, and no byte behind it. It returns the address of the client. The
// address is not valid if the header says that the balancer itself is the client, for example
// to check the health of this service. The error is io.EOF if the connection was closed before
// anything was sent.
func Read(r io.Reader) (client netip.AddrPort, err error) {
	text, err := read(r)
	if err != nil {
		return netip.AddrPort{}, err
	}
	header, err := proxyproto.Read(bufio.NewReaderSize(bytes.NewReader(text), len(text)))
	switch {
	case errors.Is(err, proxyproto.ErrUnsupportedAddressFamilyAndProtocol):
		return netip.AddrPort{}, ErrFamily
	case err != nil:
		return netip.AddrPort{}, ErrMalformed
	case header.Command == proxyproto.LOCAL:
		return netip.AddrPort{}, nil
	}
	source, _, ok := header.TCPAddrs()
	if !ok {
		return netip.AddrPort{}, ErrFamily
	}
	client = source.AddrPort()
	addr := client.Addr().Unmap()
	if addr.IsUnspecified() || addr.IsMulticast() || addr == broadcast {
		return netip.AddrPort{}, ErrAddress
	}
	return netip.AddrPortFrom(addr, client.Port()), nil
}

var broadcast = netip.AddrFrom4([4]byte{255, 255, 255, 255})

// read reads the bytes of a header.
func read(r io.Reader) ([]byte, error) {
	text := make([]byte, minBytes, maxLine)
	switch n, err := io.ReadFull(r, text); {
	case n == 0 && hasEnded(err):
		return nil, io.EOF
	case err != nil:
		return nil, incomplete(err)
	}
	switch {
	case bytes.HasPrefix(text, proxyproto.SIGV2):
		return readBinary(r, text)
	case bytes.HasPrefix(text, proxyproto.SIGV1):
		return readLine(r, text)
	}
	return nil, ErrNone
}

// readLine reads the rest of a header of version 1, which ends with a line feed.
func readLine(r io.Reader, text []byte) ([]byte, error) {
	if end := bytes.IndexByte(text, '\n'); end >= 0 && end < len(text)-1 {
		return nil, ErrMalformed // shorter than any header
	}
	for text[len(text)-1] != '\n' {
		if len(text) == maxLine {
			return nil, ErrTooLong
		}
		text = text[:len(text)+1]
		if _, err := io.ReadFull(r, text[len(text)-1:]); err != nil {
			return nil, incomplete(err)
		}
	}
	return text, nil
}

// readBinary reads the rest of a header of version 2, which says how long it is.
func readBinary(r io.Reader, text []byte) ([]byte, error) {
	text = text[:fixedPart]
	if _, err := io.ReadFull(r, text[minBytes:]); err != nil {
		return nil, incomplete(err)
	}
	size := fixedPart + int(binary.BigEndian.Uint16(text[lengthFrom:]))
	if size > MaxBytes {
		return nil, ErrTooLong
	}
	text = append(text, make([]byte, size-fixedPart)...)
	if _, err := io.ReadFull(r, text[fixedPart:]); err != nil {
		return nil, incomplete(err)
	}
	return text, nil
}

// incomplete returns the error of a header that was not read whole.
func incomplete(err error) error {
	if hasEnded(err) {
		return ErrIncomplete
	}
	return fmt.Errorf("reading the header: %w", err)
}

// hasEnded reports whether an error means that the balancer has closed the connection. Checks
// of a port often end with a reset.
func hasEnded(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.ECONNRESET)
}

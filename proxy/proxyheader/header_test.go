package proxyheader_test

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/netip"
	"strings"
	"syscall"
	"testing"
	"testing/iotest"

	"github.com/pires/go-proxyproto"

	"etcd-tlsproxy/proxy/proxyheader"
)

// behind is what a client sends, which must be left to be read.
const behind = "\x16\x03\x01\x00\n"

// binaryHeader returns a header of version 2.
func binaryHeader(command, family byte, rest string) string {
	return string(proxyproto.SIGV2) + string([]byte{command, family}) + string(binary.BigEndian.AppendUint16(nil, uint16(len(rest)))) + rest
}

const (
	v4 = "\xc0\x00\x02\x01\xc0\x00\x02\x02\x30\x39\x0f\xa1"
	v6 = "\x20\x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01" + "\x20\x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02" + "\x30\x39\x0f\xa1"
	// mapped is an IPv4 address in the form of IPv6.
	mapped = "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\xff\xff\xc0\x00\x02\x01" + "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\xff\xff\xc0\x00\x02\x02" + "\x30\x39\x0f\xa1"

	local, proxied = 0x20, 0x21
	overTCP4       = 0x11
	overTCP6       = 0x21
)

func TestAHeaderIsReadAndNothingBehindIt(t *testing.T) {
	for header, want := range map[string]string{
		"PROXY TCP4 192.0.2.1 192.0.2.2 12345 4001\r\n":          "192.0.2.1:12345",
		"PROXY TCP4 255.255.255.254 255.255.255.255 65535 1\r\n": "255.255.255.254:65535",
		"PROXY TCP4 1.1.1.1 2.2.2.2 0 0\r\n":                     "1.1.1.1:0",
		"PROXY TCP6 2001:db8::1 2001:db8::2 12345 4001\r\n":      "[2001:db8::1]:12345",
		"PROXY TCP6 ::ffff:192.0.2.1 ::ffff:192.0.2.2 1 2\r\n":   "192.0.2.1:1",
		"PROXY UNKNOWN\r\n": "",
		"PROXY UNKNOWN ffff:f...f:ffff ffff:f...f:ffff 65535 65535\r\n":                                                 "",
		"PROXY UNKNOWN ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n": "",
		"PROXY TCP6 2001:0db8:1111:2222:3333:4444:5555:6666 2001:0db8:1111:2222:3333:4444:5555:6666 65535 65535\r\n":    "[2001:db8:1111:2222:3333:4444:5555:6666]:65535",
		binaryHeader(proxied, overTCP4, v4):                              "192.0.2.1:12345",
		binaryHeader(proxied, overTCP6, v6):                              "[2001:db8::1]:12345",
		binaryHeader(proxied, overTCP6, mapped):                          "192.0.2.1:12345",
		binaryHeader(proxied, overTCP4, v4+"\x04\x00\x03abc"):            "192.0.2.1:12345", // appended fields are ignored
		binaryHeader(proxied, overTCP4, v4+strings.Repeat("x", 4096-28)): "192.0.2.1:12345",
		binaryHeader(local, 0, ""):                                       "",
		binaryHeader(local, 0, "some field"):                             "",
		binaryHeader(local, overTCP4, v4):                                "",
		binaryHeader(local, overTCP6, ""):                                "",
	} {
		for how, reader := range map[string]func(io.Reader) io.Reader{
			"whole": func(r io.Reader) io.Reader { return r }, "byte by byte": iotest.OneByteReader, "halved": iotest.HalfReader,
		} {
			rest := strings.NewReader(header + behind)
			got, err := proxyheader.Read(reader(rest))
			text := ""
			if got.IsValid() {
				text = got.String()
			}
			if err != nil || text != want {
				t.Errorf("%s, %.120q: got the client %q, %v; want %q", how, header, text, err, want)
			}
			if left, _ := io.ReadAll(rest); string(left) != behind {
				t.Errorf("%s, %.120q: got %q left to be read, want %q", how, header, left, behind)
			}
		}
	}
}

func TestWhatIsNoValidHeaderIsRefused(t *testing.T) {
	for header, want := range map[string]error{
		"GET / HTTP/1.1\r\n\r\n":                                         proxyheader.ErrNone,
		"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03abcd":               proxyheader.ErrNone,
		"proxy TCP4 192.0.2.1 192.0.2.2 1 2\r\n":                         proxyheader.ErrNone,
		string(proxyproto.SIGV2[:11]) + "\r\x21\x11\x00\x0c" + v4:        proxyheader.ErrNone,
		"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\n":                           proxyheader.ErrMalformed,
		"PROXY\nTCP4 192.0.2.1 192.0.2.2 1 2\r\n":                        proxyheader.ErrMalformed,
		"PROXYTCP4 192.0.2.1 192.0.2.2 1 2\r\n":                          proxyheader.ErrMalformed,
		"PROXY  TCP4 192.0.2.1 192.0.2.2 1 2\r\n":                        proxyheader.ErrMalformed,
		"PROXY TCP4 192.0.2.1 192.0.2.2 1\r\n":                           proxyheader.ErrMalformed,
		"PROXY TCP4 192.0.2.1 192.0.2.2 1 2 3\r\n":                       proxyheader.ErrMalformed,
		"PROXY TCP4 192.0.2.01 192.0.2.2 1 2\r\n":                        proxyheader.ErrMalformed,
		"PROXY TCP4 192.0.2.1 192.0.2.2 01 2\r\n":                        proxyheader.ErrMalformed,
		"PROXY TCP4 192.0.2.1 192.0.2.2 65536 2\r\n":                     proxyheader.ErrMalformed,
		"PROXY TCP4 2001:db8::1 2001:db8::2 1 2\r\n":                     proxyheader.ErrMalformed,
		"PROXY TCP6 192.0.2.1 192.0.2.2 1 2\r\n":                         proxyheader.ErrMalformed,
		"PROXY TCP6 fe80::1%eth0 2001:db8::2 1 2\r\n":                    proxyheader.ErrMalformed,
		"PROXY UDP4 192.0.2.1 192.0.2.2 1 2\r\n":                         proxyheader.ErrMalformed,
		"PROXY TCP4 0.0.0.0 192.0.2.2 1 2\r\n":                           proxyheader.ErrAddress,
		"PROXY TCP4 224.0.0.1 192.0.2.2 1 2\r\n":                         proxyheader.ErrAddress,
		"PROXY TCP4 255.255.255.255 192.0.2.2 1 2\r\n":                   proxyheader.ErrAddress,
		"PROXY TCP6 ::ffff:0.0.0.0 2001:db8::2 1 2\r\n":                  proxyheader.ErrAddress,
		"PROXY TCP6 ff02::1 2001:db8::2 1 2\r\n":                         proxyheader.ErrAddress,
		"PROXY UNKNOWN " + strings.Repeat("x", 92) + "\r\n":              proxyheader.ErrTooLong,
		"PROXY " + strings.Repeat("x", 1000):                             proxyheader.ErrTooLong,
		binaryHeader(proxied, overTCP4, v4+strings.Repeat("x", 4096-27)): proxyheader.ErrTooLong,
		binaryHeader(0x11, overTCP4, v4):                                 proxyheader.ErrMalformed, // version 1 in the form of 2
		binaryHeader(0x22, overTCP4, v4):                                 proxyheader.ErrMalformed, // no such command
		binaryHeader(proxied, overTCP4, v4[:11]):                         proxyheader.ErrMalformed,
		binaryHeader(proxied, overTCP6, v4):                              proxyheader.ErrMalformed,
		binaryHeader(proxied, 0x00, ""):                                  proxyheader.ErrFamily, // unspecified
		binaryHeader(proxied, 0x12, v4):                                  proxyheader.ErrFamily, // UDP
		binaryHeader(proxied, 0x13, v4):                                  proxyheader.ErrFamily,
		binaryHeader(proxied, 0x22, v6):                                  proxyheader.ErrFamily,
		binaryHeader(proxied, 0x31, strings.Repeat("/x", 108)):           proxyheader.ErrFamily, // a Unix socket
		binaryHeader(proxied, 0x32, strings.Repeat("/x", 108)):           proxyheader.ErrFamily,
		binaryHeader(local, 0x41, ""):                                    proxyheader.ErrFamily,
		"":                                                               io.EOF,
	} {
		if _, err := proxyheader.Read(strings.NewReader(header)); !errors.Is(err, want) {
			t.Errorf("%.120q: got %v, want %v", header, err, want)
		}
	}
}

func TestAHeaderThatBreaksOffIsIncomplete(t *testing.T) {
	for _, header := range []string{"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n", binaryHeader(proxied, overTCP4, v4)} {
		for n := 1; n < len(header); n++ {
			for _, end := range []error{io.EOF, syscall.ECONNRESET} {
				r := io.MultiReader(strings.NewReader(header[:n]), iotest.ErrReader(end))
				if _, err := proxyheader.Read(r); !errors.Is(err, proxyheader.ErrIncomplete) {
					t.Errorf("%d bytes of %q, and then %v: got %v, want %v", n, header, end, err, proxyheader.ErrIncomplete)
				}
			}
		}
	}
}

func TestALineThatIsTooShortIsRefusedAtOnce(t *testing.T) {
	for _, line := range []string{"PROXY\n123456789", "PROXY UNKNOWN\nx"} {
		waits := io.MultiReader(strings.NewReader(line), iotest.ErrReader(iotest.ErrTimeout))
		if _, err := proxyheader.Read(waits); !errors.Is(err, proxyheader.ErrMalformed) {
			t.Errorf("%q: got %v, want %v", line, err, proxyheader.ErrMalformed)
		}
	}
}

func TestAConnectionThatIsResetBeforeItsHeaderHasEnded(t *testing.T) {
	reset := &net.OpError{Op: "read", Err: syscall.ECONNRESET}
	if _, err := proxyheader.Read(iotest.ErrReader(reset)); err != io.EOF { //nolint:errorlint // documented to be returned itself
		t.Errorf("got %v, want %v", err, io.EOF)
	}
}

func TestAnErrorOfTheConnectionIsReported(t *testing.T) {
	for _, begin := range []string{"", "PROXY", "PROXY TCP4 192.0.2.1", binaryHeader(proxied, overTCP4, v4)[:20]} {
		r := io.MultiReader(strings.NewReader(begin), iotest.ErrReader(iotest.ErrTimeout))
		if _, err := proxyheader.Read(r); !errors.Is(err, iotest.ErrTimeout) {
			t.Errorf("behind %q: got %v, want %v", begin, err, iotest.ErrTimeout)
		}
	}
}

// FuzzHeader compares what is read with what go-proxyproto says about the same bytes.
func FuzzHeader(f *testing.F) {
	for _, seed := range []string{
		"PROXY TCP4 192.0.2.1 192.0.2.2 12345 4001\r\n" + behind, "PROXY TCP6 2001:db8::1 2001:db8::2 12345 4001\r\n" + behind, "PROXY UNKNOWN\r\n" + behind,
		"PROXY \n", binaryHeader(proxied, overTCP4, v4) + behind, binaryHeader(proxied, overTCP6, v6+"\x04\x00\x03abc") + behind, binaryHeader(local, 0, "") + behind, behind,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		rest := bytes.NewReader(data)
		client, err := proxyheader.Read(rest)
		buffered := bytes.NewReader(data)
		reader := bufio.NewReaderSize(buffered, len(data)+1)
		header, wanted := proxyproto.Read(reader)
		if err != nil {
			bound := errors.Is(err, proxyheader.ErrTooLong) || errors.Is(err, proxyheader.ErrAddress) || errors.Is(err, proxyheader.ErrFamily)
			if wanted == nil && !bound {
				t.Fatalf("%q: got %v, but it is a header: %+v", data, err, header)
			}
			return
		}
		if wanted != nil {
			t.Fatalf("%q: got the client %v, but it is no header: %v", data, client, wanted)
		}
		if left := buffered.Len() + reader.Buffered(); rest.Len() != left {
			t.Fatalf("%q: got %d bytes left to be read, want %d", data, rest.Len(), left)
		}
		want := netip.AddrPort{}
		if header.Command != proxyproto.LOCAL {
			source, _, ok := header.TCPAddrs()
			if !ok {
				t.Fatalf("%q: got the client %v of a header that is not about TCP", data, client)
			}
			want = netip.AddrPortFrom(source.AddrPort().Addr().Unmap(), uint16(source.Port))
		}
		if client != want {
			t.Fatalf("%q: got the client %v, want %v", data, client, want)
		}
	})
}

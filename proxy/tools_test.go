package proxy

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// toolsVariable lets the scanners run, which take minutes.
const toolsVariable = "ETCD_TLSPROXY_TEST_SCANNERS"

func scanner(t *testing.T, names ...string) string {
	t.Helper()
	if os.Getenv(toolsVariable) == "" {
		t.Skipf("%s is not set", toolsVariable)
	}
	return tool(t, names...)
}

// TestTestsslFindsNothing lets testssl.sh look at the TLS of the proxy. What it says
// of the certificate is about the one made for this test.
func TestTestsslFindsNothing(t *testing.T) {
	path := scanner(t, "testssl", "testssl.sh")
	f, _ := newEmbedded(t, nil)
	report := filepath.Join(t.TempDir(), "report.csv")
	out, err := commandFor(t, 5*time.Minute, nil, path, "--quiet", "--color", "0", "--warnings", "batch", "--ip", "one",
		"--add-ca", f.caFile(), "--csvfile", report, "localhost:"+f.addr[strings.LastIndexByte(f.addr, ':')+1:])
	data, readErr := os.ReadFile(report)
	if readErr != nil {
		t.Fatalf("%v, %v\n%s", err, readErr, out)
	}
	finding := regexp.MustCompile(`^"([^"]*)","[^"]*","[^"]*","(LOW|MEDIUM|HIGH|CRITICAL)","([^"]*)"`)
	checked := 0
	for line := range strings.SplitSeq(string(data), "\n") {
		checked++
		if m := finding.FindStringSubmatch(line); m != nil && !aboutThisTest[m[1]] {
			t.Errorf("%s: %s: %s", m[1], m[2], m[3])
		}
	}
	if checked < 50 {
		t.Errorf("testssl says little: %v\n%s", err, out)
	}
}

// aboutThisTest are findings about a certificate that has no public CA, and about a
// header for browsers, which do not use an API.
var aboutThisTest = map[string]bool{
	"cert_revocation": true, "cert_crlDistributionPoints": true, "OCSP_stapling": true, "DNS_CAArecord": true, "HSTS": true,
	"cert_chain_of_trust": true, "overall_grade": true, "cert_expirationStatus": true, "cert_notAfter": true, "security_headers": true,
	// Go tells clients to keep tickets for a week; the keys are new each day.
	"TLS_session_ticket": true,
}

// TestH2specPassesWhereNetHTTPDoes lets h2spec try HTTP/2. What fails always are four
// cases in which it and Go's server differ. Two more may fail because they post, which
// is refused before the wrong length of the body is seen.
func TestH2specPassesWhereNetHTTPDoes(t *testing.T) {
	path := scanner(t, "h2spec")
	f, _ := newEmbedded(t, nil)
	out, err := commandFor(t, 5*time.Minute, nil, path, "-h", "127.0.0.1", "-p", f.addr[strings.LastIndexByte(f.addr, ':')+1:], "-t", "-k", "-o", "5", "-P", "/version")
	failed := map[string]bool{}
	for line := range strings.SplitSeq(out, "\n") {
		if _, what, ok := strings.Cut(line, "× "); ok {
			failed[strings.TrimSpace(what[strings.Index(what, ": ")+2:])] = true
		}
	}
	known := []string{
		"Sends a large size HEADERS frame that exceeds the SETTINGS_MAX_FRAME_SIZE",
		"Sends multiple values of SETTINGS_INITIAL_WINDOW_SIZE",
		"Sends a HEADERS frame that contains the connection-specific header field",
		`Sends a HEADERS frame with the "content-length" header field which does not equal the DATA frame payload length`,
		`Sends a HEADERS frame with the "content-length" header field which does not equal the sum of the multiple DATA frames payload length`,
		`Sends a HEADERS frame that contains the TE header field with any value other than "trailers"`,
	}
	for _, what := range known {
		delete(failed, what)
	}
	for what := range failed {
		t.Errorf("failed: %s", what)
	}
	if !strings.Contains(out, "145 tests") {
		t.Errorf("%v\n%s", err, out)
	}
}

package proxy_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"etcd-tlsproxy/proxy/proxytest/fronttest"
)

// toolsVariable enables the scanners, which take minutes.
const toolsVariable = "ETCD_TLSPROXY_TEST_SCANNERS"

func scanner(t *testing.T, names ...string) string {
	t.Helper()
	if os.Getenv(toolsVariable) == "" {
		t.Skipf("%s is not set", toolsVariable)
	}
	return tool(t, names...)
}

// TestTestsslFindsNothing runs testssl.sh against the proxy. Its findings about the
// certificate concern the one made for this test.
func TestTestsslFindsNothing(t *testing.T) {
	fronttest.EachLane(t, func(t *testing.T, l fronttest.Lane) {
		path := scanner(t, "testssl", "testssl.sh")
		f, _ := l.Embedded(t, nil)
		report := filepath.Join(t.TempDir(), "report.csv")
		out, err := commandFor(t, 5*time.Minute, nil, path, "--quiet", "--color", "0", "--warnings", "batch", "--ip", "one",
			"--add-ca", caFile(t, f), "--csvfile", report, "localhost:"+f.Addr[strings.LastIndexByte(f.Addr, ':')+1:])
		data, readErr := os.ReadFile(report)
		if readErr != nil {
			t.Fatalf("running testssl: %v; reading its report: %v\n%s", err, readErr, out)
		}
		finding := regexp.MustCompile(`^"([^"]*)","[^"]*","[^"]*","(LOW|MEDIUM|HIGH|CRITICAL)","([^"]*)"`)
		checked := 0
		for line := range strings.SplitSeq(string(data), "\n") {
			checked++
			if m := finding.FindStringSubmatch(line); m != nil && !aboutThisTest[m[1]] {
				t.Errorf("testssl: finding %s of severity %s: %s", m[1], m[2], m[3])
			}
		}
		if checked < 50 {
			t.Errorf("testssl: got %d lines, %v; want at least 50\n%s", checked, err, out)
		}
	})
}

// aboutThisTest lists findings about a certificate without a public CA, and about a header
// for browsers.
var aboutThisTest = map[string]bool{
	"cert_revocation": true, "cert_crlDistributionPoints": true, "OCSP_stapling": true, "DNS_CAArecord": true, "HSTS": true,
	"cert_chain_of_trust": true, "overall_grade": true, "cert_expirationStatus": true, "cert_notAfter": true, "security_headers": true,
	// Go announces tickets for a week, but replaces their keys each day.
	"TLS_session_ticket": true,
}

// TestH2specPassesWhereNetHTTPDoes runs h2spec against the proxy. Four cases always fail,
// because Go's server differs from them. Two more may fail because they use POST, which is
// refused before the wrong length of the body is detected.
func TestH2specPassesWhereNetHTTPDoes(t *testing.T) {
	fronttest.EachLane(t, func(t *testing.T, l fronttest.Lane) {
		path := scanner(t, "h2spec")
		f, _ := l.Embedded(t, nil)
		out, err := commandFor(t, 5*time.Minute, nil, path, "-h", "127.0.0.1", "-p", f.Addr[strings.LastIndexByte(f.Addr, ':')+1:], "-t", "-k", "-o", "5", "-P", "/version")
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
			t.Errorf("h2spec: the case failed: %s", what)
		}
		if !strings.Contains(out, "145 tests") {
			t.Errorf("h2spec: got %v, want 145 tests\n%s", err, out)
		}
	})
}

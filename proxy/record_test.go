package proxy

import (
	"encoding/json"
	"etcd-tlsproxy/proxy/lane"
	"io"
	"net/http"
	"strings"
	"testing"

	"etcd-tlsproxy/proxy/proxytest"
)

// entries are the audit log's, once there are as many as wanted.
func (f *front) entries(t *testing.T, want int) []map[string]any {
	t.Helper()
	// The last is written after its answer was sent.
	eventually(t, "every request has its entry", func() bool { return strings.Count(f.audit.String(), "\n") >= want })
	var list []map[string]any
	for line := range strings.SplitSeq(strings.TrimSpace(f.audit.String()), "\n") {
		var entry map[string]any
		if err := json.Unmarshal([]byte(line), &entry); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		list = append(list, entry)
	}
	if len(list) != want {
		t.Errorf("%d entries, want %d: %v", len(list), want, list)
	}
	return list
}

func TestEachWriteAndEachRefusalLeavesOneAuditLine(t *testing.T) {
	f, _ := newEmbedded(t, nil)
	client := f.client("h1")
	do(t, client, "GET", f.url()+"/v2/keys?recursive=true", "root", "")
	do(t, client, "PUT", f.url()+"/v2/keys/conftool/a?prevValue=hunter2", "conftool", "value=hunter2")
	do(t, client, "PUT", f.url()+"/v2/keys/b", "conftool", "value=hunter2")
	do(t, client, "DELETE", f.url()+"/v2/keys/eventlogging/hunter", "nobody", "")
	do(t, client, "POST", f.url()+"/v2/members", "root", "")
	got := f.entries(t, 4)
	for i, want := range []map[string]any{
		{"verdict": "allowed", "user": "conftool", "known": "password", "method": "PUT", "surface": "keys", "key": "/conftool/a", "rule": "/conftool", "status": 404.0},
		{"verdict": "unauthorized", "user": "conftool", "known": "password", "method": "PUT", "key": "/b", "rule": "/", "status": 401.0},
		{"verdict": "allowed", "user": "-", "known": "anonymous", "method": "DELETE", "key": "/eventlogging/hunter", "rule": "/eventlogging", "status": 404.0},
		{"verdict": "closed_surface", "user": "-", "method": "POST", "surface": "members", "path": "/v2/members", "status": 403.0},
	} {
		for key, value := range want {
			if got[i][key] != value {
				t.Errorf("entry %d: %s is %v, want %v", i, key, got[i][key], value)
			}
		}
		if from, _ := got[i]["from"].(string); !strings.HasPrefix(from, "127.0.0.1:") {
			t.Errorf("entry %d: from %q", i, from)
		}
	}
}

func TestSecretsReachNoLogAndNoMetric(t *testing.T) {
	f, _ := newEmbedded(t, nil)
	client := f.client("h1")
	for _, url := range []string{"/v2/keys/conftool/a?value=hunter2", "/v2/keys/conftool/a?hunter2", "/v2/keys/b?prevValue=hunter2", "/hunter%zz2"} {
		for _, user := range []string{"conftool", "hunter2"} {
			a := f.exchange("PUT " + url + " HTTP/1.1\r\nHost: h\r\nAuthorization: " + basic(user) + "\r\nReferer: http://h/?hunter2\r\nContent-Length: 0\r\n\r\n")
			if strings.Contains(a.Body, "hunter") && a.Status != 201 && a.Status != 200 {
				t.Errorf("%s by %s: the answer repeats the secret: %s", url, user, a.Body)
			}
		}
	}
	do(t, client, "GET", f.url()+"/v2/keys/conftool/a", "hunter2", "")
	f.entries(t, 8)
	families, err := f.metrics.Registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	metrics := ""
	for _, family := range families {
		metrics += family.String()
	}
	for where, text := range map[string]string{"audit": f.audit.String(), "access": f.access.String(), "metrics": metrics} {
		for _, secret := range []string{"hunter2", "conftool-pw", basic("conftool")[6:]} {
			if strings.Contains(text, secret) {
				t.Errorf("%s holds %q:\n%s", where, secret, text)
			}
		}
	}
	if !strings.Contains(metrics, "etcd_tlsproxy_requests_total") {
		t.Error("no metrics were gathered")
	}
}

func TestTheAccessLogIsNginxsCombinedFormat(t *testing.T) {
	f := newFront(t, listen(t), standIn(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "12345") }), nil)
	for i, request := range []string{
		"GET /v2/keys/a%20b?wait=false&secret=x HTTP/1.1\r\nHost: h\r\nUser-Agent: a\"b\\c\xe9\r\n\r\n",
		"PUT /v2/keys/conftool/a HTTP/1.1\r\nHost: h\r\nAuthorization: " + basic("conftool") + "\r\nContent-Length: 0\r\n\r\n",
		"nonsense\r\n\r\n",
	} {
		f.exchange(request)
		eventually(t, "its line is written", func() bool { return strings.Count(f.access.String(), "\n") == i+1 })
	}
	got := strings.Split(f.access.String(), "\n")
	for i, want := range [][2]string{
		{"127.0.0.1 - - [", `] "GET /v2/keys/a%20b?wait=false&secret=- HTTP/1.1" 200 5 "-" "a\x22b\x5Cc\xE9"`},
		{"127.0.0.1 - conftool [", `] "PUT /v2/keys/conftool/a HTTP/1.1" 200 5 "-" "-"`},
		{"127.0.0.1 - - [", `] "other - HTTP/1.1" 400 `},
	} {
		if !strings.HasPrefix(got[i], want[0]) || !strings.Contains(got[i], want[1]) {
			t.Errorf("line %d: %s\nwant %s...%s", i, got[i], want[0], want[1])
		}
	}
}

func TestMetricsHaveClosedLabels(t *testing.T) {
	f, _ := newEmbedded(t, func(s *lane.Snapshot, _ *proxytest.PKI) { s.ReadOnly = true })
	client := f.client("h1")
	series := func() (n int) {
		families, err := f.metrics.Registry.Gather()
		if err != nil {
			t.Fatal(err)
		}
		for _, family := range families {
			if strings.HasPrefix(family.GetName(), "etcd_tlsproxy_") {
				n += len(family.Metric)
			}
		}
		return n
	}
	touch := func(suffix string) {
		for _, method := range []string{"GET", "PUT", "FOO" + suffix, "BAR" + suffix} {
			do(t, client, method, f.url()+"/v2/keys/"+suffix, suffix, "")
			do(t, client, method, f.url()+"/"+suffix, suffix, "")
		}
	}
	touch("a")
	before := series()
	touch("b")
	touch("c")
	if after := series(); after != before {
		t.Errorf("%d series became %d", before, after)
	}
}

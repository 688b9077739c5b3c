package config

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"testing"

	"github.com/BurntSushi/toml"
)

func files(t testing.TB, pattern string) map[string][]byte {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join("testdata", pattern))
	if err != nil || len(paths) == 0 {
		t.Fatalf("listing testdata/%s: got %d files, error %v; want at least one file", pattern, len(paths), err)
	}
	contents := make(map[string][]byte)
	for _, path := range paths {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		contents[filepath.Base(path)] = data
	}
	return contents
}

func TestGoodConfigurations(t *testing.T) {
	for name, data := range files(t, "*.good.toml") {
		if _, err := Parse(name, data); err != nil {
			t.Errorf("%s was refused: %v", name, err)
		}
	}
}

// TestBadConfigurations compares each error with NAME.bad.txt, byte for byte.
func TestBadConfigurations(t *testing.T) {
	wanted := files(t, "*.bad.txt")
	for name, data := range files(t, "*.bad.toml") {
		_, err := Parse(name, data)
		if err == nil {
			t.Errorf("%s was accepted", name)
			continue
		}
		want := string(wanted[strings.TrimSuffix(name, ".toml")+".txt"])
		if got := err.Error() + "\n"; got != want {
			t.Errorf("%s: the message differs\n got %s\nwant %s", name, got, want)
		}
		if strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: the message repeats a password: %v", name, err)
		}
	}
	if bad := files(t, "*.bad.toml"); len(bad) != len(wanted) {
		t.Errorf("got %d files *.bad.toml and %d files *.bad.txt, want a message for each", len(bad), len(wanted))
	}
}

func TestEveryKeyHasAPlaceAndIsInTheFullExample(t *testing.T) {
	parse := func(name string) (*Document, *Config, []string) {
		data := files(t, name)[name]
		doc, config, err := Decode(name, data)
		if err != nil {
			t.Fatal(err)
		}
		return doc, config, strings.Split(string(data), "\n")
	}
	full, config, fullLines := parse("full.good.toml")
	// The keys that exclude upstream.endpoints have an example of their own.
	srv, _, srvLines := parse("srv.good.toml")
	for _, key := range knownKeys("", reflect.TypeFor[Config]()) {
		if key == "surfaces" || key == "acls" {
			continue
		}
		doc, lines := full, fullLines
		if key == "upstream.srv" || key == "upstream.resolver" || key == "upstream.srv_refresh" {
			doc, lines = srv, srvLines
		}
		path := strings.Split(key, ".")
		_, line := doc.locate(path...)
		if line == 0 || !strings.Contains(lines[line-1], path[len(path)-1]) {
			t.Errorf("the example does not contain %s in the line that locate returned, %d", key, line)
		}
	}
	fallback := Default()
	for _, s := range Settings() {
		if !strings.HasPrefix(s.Key, "limits.") || s.Default == auto {
			continue
		}
		if got := s.value(config); got.Equal(s.value(fallback)) {
			t.Errorf("the full example sets %s to its default, %s; want another value", s.Key, tomlText(got.Interface()))
		}
	}
}

// TestWhatIsShownMeansTheSame parses what is shown of each good configuration.
func TestWhatIsShownMeansTheSame(t *testing.T) {
	for name, data := range files(t, "*.good.toml") {
		c, err := Parse(name, data)
		if err != nil {
			t.Fatal(err)
		}
		var text bytes.Buffer
		if err := c.Document.Show(&text, c.Config, nil); err != nil {
			t.Fatal(err)
		}
		again, err := Parse("shown", text.Bytes())
		if err != nil {
			t.Errorf("%s was shown as\n%s\nwhich was refused: %v", name, &text, err)
			continue
		}
		for _, s := range Settings() {
			before, after := s.value(c.Config), s.value(again.Config)
			if (before.Kind() == reflect.Map || before.Kind() == reflect.Slice) && before.Len()+after.Len() == 0 {
				continue
			}
			if !reflect.DeepEqual(before.Interface(), after.Interface()) {
				t.Errorf("%s: %s was %v and is %v after it was shown", name, s.Key, before, after)
			}
		}
		// Each line says where its value comes from.
		for _, line := range strings.Split(text.String(), "\n") {
			_, origin, _ := strings.Cut(line, " # ")
			from, number, _ := strings.Cut(origin, ":")
			if line == "" || line[0] == '[' || origin == "default" {
				continue
			}
			n, err := strconv.Atoi(number)
			lines := strings.Split(string(data), "\n")
			key, _, _ := strings.Cut(line, " = ")
			if from != name || err != nil || n < 1 || n > len(lines) || !strings.Contains(lines[n-1], key) {
				t.Errorf("%s: shown line %q: got the origin %q, want the line of %s", name, line, origin, key)
			}
		}
	}
}

func TestAValueThatIsNotThatOfTheFileIsShownAsSuch(t *testing.T) {
	doc, file, err := Decode("a.toml", []byte("listen = \"*:4001\"\n[tls]\ncertificate = \"new\"\n[acls]\n\"/a\" = [\"u\"]\n\"/b\" = []\n[limits]\nwatches = 8\n[log]\naudit = \"audit.log\"\n"))
	if err != nil {
		t.Fatal(err)
	}
	inForce := *file
	inForce.TLS.Certificate = Files{"old"}
	inForce.ACLs = map[string]ACL{"/a": {Write: []string{"v"}}, "/b": {Write: []string{}}}
	inForce.Limits.Connections, inForce.Limits.Watches = 7, 9
	var text strings.Builder
	if err := doc.Show(&text, &inForce, []Pending{{Key: "limits.connections"}, {Key: "limits.watches"}}); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"listen = \":4001\" # a.toml:1\n", "certificate = \"old\" # as before, because of a mistake in the file\n", "\nconnections = 7 # as before, until a restart applies the default\n",
		"\nwatches = 9 # as before, until a restart applies a.toml:8\n",
		"\"/a\" = [\"v\"] # as before, because of a mistake in the file\n", "\"/b\" = [] # a.toml:6\n", "audit = \"audit.log\" # a.toml:10\n",
	} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("got\n%s\nwant %q", &text, want)
		}
	}
}

func TestSizesHaveUnitsOrAreBytes(t *testing.T) {
	c, err := Parse("sizes.good.toml", files(t, "sizes.good.toml")["sizes.good.toml"])
	if err != nil {
		t.Fatal(err)
	}
	l := c.Limits
	if got, want := []int64{int64(l.HeadBytes), int64(l.TargetBytes), l.BodyBytes, l.BodyMemory, l.Memory}, []int64{64 << 10, 2000, 16 << 20, 256 << 20, 3 << 29}; !reflect.DeepEqual(got, want) {
		t.Errorf("sizes: got %v, want %v", got, want)
	}
}

// TestTheFirstReleasesConfigurationMeansTheSame reads a file with every key of the
// first release. The newer keys have defaults that keep its behavior.
func TestTheFirstReleasesConfigurationMeansTheSame(t *testing.T) {
	const name = "every-key-of-the-first-release.good.toml"
	old, err := Parse(name, files(t, name)[name])
	if err != nil {
		t.Fatalf("the configuration was refused: %v", err)
	}
	full, err := Parse("full.good.toml", files(t, "full.good.toml")["full.good.toml"])
	if err != nil {
		t.Fatal(err)
	}
	if !old.RawSockets {
		t.Error("raw_sockets is false for a file without the key, want true")
	}
	if !old.HTTP2 {
		t.Error("http2 is false for a file without the key, want true")
	}
	full.RawSockets, full.HTTP2, full.AdminWebConfig, full.AdminProfiles = true, true, "", false
	full.AdminNames, full.ProxyProtocol.From = nil, nil
	full.TLS.Certificate, full.TLS.Key = full.TLS.Certificate[:1], full.TLS.Key[:1]
	full.TLS.ClientCRL = ""
	u := &full.Upstream
	u.Certificate, u.Key, u.User, u.PasswordFile = "", "", "", ""
	u.API, u.Prefix, u.PlainReads, u.ServeStale, u.Compact, u.QuotaBytes = "v2", "", "mirror", false, true, 2<<30
	full.Shadow = Shadow{}
	if old.Auth.Certificates != nil || old.Log.AuditRequired {
		t.Errorf("auth.certificates and log.audit_required of a file without the keys: got %q and %t, want none and false", old.Auth.Certificates, old.Log.AuditRequired)
	}
	full.Auth.Certificates, full.Log.AuditRequired = nil, false
	if old.Log.Service != "text" {
		t.Errorf("log.service of a file without the key: got %q, want text", old.Log.Service)
	}
	full.Log.Service = "text"
	full.Log.Audit = old.Log.Audit // a log that is required cannot be off
	if !reflect.DeepEqual(old.Config, full.Config) {
		t.Errorf("the configurations differ in more than the newer keys\nold  %+v\nfull %+v", old.Config, full.Config)
	}
}

func TestTheREADMEsExampleIsGood(t *testing.T) {
	readme, err := os.ReadFile("../../../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, ok := strings.Cut(string(readme), "```toml\n")
	example, _, ok2 := strings.Cut(rest, "```")
	if !ok || !ok2 {
		t.Fatal("README.md contains no block of toml")
	}
	config, err := Parse("README.md", []byte(example))
	if err != nil {
		t.Fatalf("the README's example was refused: %v", err)
	}
	if len(config.ACLs) != 3 {
		t.Errorf("the README's example has %d rules, want 3", len(config.ACLs))
	}
}

func FuzzConfig(f *testing.F) {
	for _, data := range files(f, "*.toml") {
		f.Add(data)
	}
	f.Add([]byte("\x05")) // a mistake at the very start
	f.Fuzz(func(t *testing.T, data []byte) {
		parsed, err := Parse("f", data)
		if err != nil {
			if _, ok := errors.AsType[*Error](err); !ok {
				t.Fatalf("got an error of type %T, want an *Error with the place: %v", err, err)
			}
			return
		}
		// A configuration that is encoded and parsed again is the same.
		config := parsed.Config
		var text bytes.Buffer
		for prefix, rule := range config.ACLs {
			if !rule.ReadGiven && len(rule.Read) == 0 {
				rule.Read, rule.ReadGiven = []string{}, true
				config.ACLs[prefix] = rule
			}
		}
		if err := toml.NewEncoder(&text).Encode(config); err != nil {
			t.Fatalf("encoding the configuration of %q: %v", data, err)
		}
		parsed, err = Parse("f", text.Bytes())
		if err != nil {
			t.Fatalf("%q was encoded as\n%s\nwhich was refused: %v", data, text.String(), err)
		}
		again := parsed.Config
		if len(config.Surfaces) == 0 {
			config.Surfaces, again.Surfaces = nil, nil
		}
		if len(config.Auth.Htpasswd) == 0 {
			config.Auth.Htpasswd, again.Auth.Htpasswd = nil, nil
		}
		if len(config.ACLs) == 0 {
			config.ACLs, again.ACLs = nil, nil
		}
		if !reflect.DeepEqual(config, again) {
			t.Fatalf("%q changed when it was encoded and parsed again\n got %+v\nwant %+v", data, again, config)
		}
	})
}

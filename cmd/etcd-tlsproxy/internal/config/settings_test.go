package config

import (
	"runtime"
	"testing"
	"time"
)

// TestTheDefaults pins what the first release did with an empty file.
func TestTheDefaults(t *testing.T) {
	seconds := func(n int) Duration { return Duration(n) * Duration(time.Second) }
	want := Limits{
		HeaderTimeout: seconds(10), BodyTimeout: seconds(30), IdleTimeout: seconds(3600), HandshakeTimeout: seconds(10), Drain: seconds(10),
		HeadBytes: 32 << 10, TargetBytes: 4000, BodyBytes: 10 << 20, BodyMemory: 128 << 20, Memory: 1 << 30,
		Connections: 20_000, AddressConnections: 10_000, AddressHandshakes: 500, Watches: 20_000, UserWatches: 10_000,
		UpstreamRequests: 1024, UpstreamTimeout: seconds(30), LoginBurst: 20, LoginEvery: seconds(1), HashWorkers: max(1, runtime.NumCPU()/2),
	}
	c := Default()
	if c.Limits != want {
		t.Errorf("the default limits are\n got %+v\nwant %+v", c.Limits, want)
	}
	if want := (Log{Access: "off", Format: "combined", Audit: "stderr", Level: "info"}); c.Log != want {
		t.Errorf("the default of [log] is\n got %+v\nwant %+v", c.Log, want)
	}
	if !c.FastLane || !c.HTTP2 || !c.ShareReads || !c.ShareWatches || !c.RawSockets || c.ReadOnly {
		t.Errorf("the default switches are %+v, want all but read_only to be on", c)
	}
	if c.Listen != ":4001" || c.Admin != "127.0.0.1:4002" || c.Match != "segment" || c.TLS != (TLS{ClientAuth: "optional", ClientName: "cn"}) {
		t.Errorf("the defaults at the top and of [tls]: got %+v, want :4001, 127.0.0.1:4002, segment, optional and cn", c)
	}
	u := c.Upstream
	if len(u.Endpoints) != 1 || u.Endpoints[0] != "http://127.0.0.1:2379" || u.SRVRefresh != seconds(60) {
		t.Errorf("the defaults of [upstream]: got %+v, want the endpoint http://127.0.0.1:2379 and a refresh each minute", u)
	}
}

// TestEverySettingHasADefault finds a field whose tags were forgotten, which would
// be zero in every file without the key.
func TestEverySettingHasADefault(t *testing.T) {
	for _, s := range Settings() {
		switch s.Type {
		case "table", "string", "list of strings":
			continue // an empty default is one
		}
		if s.Default == "" {
			t.Errorf("%s has no default tag", s.Key)
		}
		if s.Type == "integer" && (s.Min == "" || s.Max == "") {
			t.Errorf("%s has the bounds %q and %q, want both", s.Key, s.Min, s.Max)
		}
	}
}

func TestSettingsThatNeedARestart(t *testing.T) {
	doc, before, err := parseDocument("a.toml", []byte("[limits]\nwatches = 7\n"))
	if err != nil {
		t.Fatal(err)
	}
	after := *before
	after.Limits.Watches, after.Limits.BodyBytes, after.FastLane = 8, 2000, false
	const want = `a.toml:2: limits.watches: the value has changed from 7 to 8, which needs a restart (hint: restart the service, or restore the old value)`
	if err := CheckRestart(doc, before, &after); err == nil || err.Error() != want {
		t.Errorf("the change of a setting that needs a restart:\n got %v\nwant %s", err, want)
	}
	after.Limits.Watches = 7
	if err := CheckRestart(doc, before, &after); err != nil {
		t.Errorf("changes of settings that a reload can change were refused: %v", err)
	}
}

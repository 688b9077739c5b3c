package config

import (
	"reflect"
	"runtime"
	"testing"
	"time"
)

// TestTheDefaults pins what the first release did with an empty file. Only the limits of one
// address have changed since: a pool of connections shares them.
func TestTheDefaults(t *testing.T) {
	seconds := func(n int) Duration { return Duration(n) * Duration(time.Second) }
	want := Limits{
		HeaderTimeout: seconds(10), BodyTimeout: seconds(30), IdleTimeout: seconds(3600), HandshakeTimeout: seconds(10), Drain: seconds(10),
		HeadBytes: 32 << 10, TargetBytes: 4000, BodyBytes: 10 << 20, BodyMemory: 128 << 20, Memory: 1 << 30,
		Connections: 20_000, AddressConnections: 0, AddressHandshakes: 0, Watches: 20_000, UserWatches: 0,
		UpstreamRequests: 1024, UpstreamTimeout: seconds(30), LoginBurst: 20, LoginEvery: seconds(1), HashWorkers: max(1, runtime.NumCPU()/2),
	}
	c := Default()
	if c.Limits != want {
		t.Errorf("the default limits are\n got %+v\nwant %+v", c.Limits, want)
	}
	if want := (Log{Access: "off", Format: "combined", Audit: "stderr", Service: "text", Level: "info"}); c.Log != want {
		t.Errorf("the default of [log] is\n got %+v\nwant %+v", c.Log, want)
	}
	if !c.FastLane || !c.HTTP2 || !c.ShareReads || !c.ShareWatches || !c.RawSockets || c.ReadOnly {
		t.Errorf("the default switches are %+v, want all but read_only to be on", c)
	}
	if c.Listen != ":4001" || c.Admin != "127.0.0.1:4002" || c.Match != "segment" || !reflect.DeepEqual(c.TLS, TLS{ClientAuth: "optional", ClientName: "cn"}) {
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
		case "table", "string", "list of strings", "string or list of strings":
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
	running := Default()
	running.Limits.Watches = 7
	next := *running
	next.Limits.Watches, next.Limits.BodyBytes, next.FastLane = 8, 2000, false
	pending := next.KeepRestart(running)
	if want := (Pending{"limits.watches", "7", "8"}); len(pending) != 1 || pending[0] != want {
		t.Errorf("settings that wait for a restart: got %v, want only %v", pending, want)
	}
	if next.Limits.Watches != 7 || next.Limits.BodyBytes != 2000 || next.FastLane {
		t.Errorf("the configuration to apply: got %+v, want the running number of watches and the other changes", next)
	}
	if pending := next.KeepRestart(running); len(pending) > 0 {
		t.Errorf("settings that wait for a restart, once it has the running values: got %v, want none", pending)
	}
}

package proxy_test

import (
	"os"
	"strings"
	"testing"

	"etcd-tlsproxy/proxy"
	"etcd-tlsproxy/proxy/proxytest/fronttest"
)

func TestEachLimitThatCanBeReachedHasItsUse(t *testing.T) {
	t.Parallel()
	fronttest.EachLane(t, func(t *testing.T, l fronttest.Lane) {
		f, _ := l.EmbeddedWith(t, func(o *proxy.Options) {
			o.MaxConnections, o.MaxAddressConnections, o.MaxUserWatches, o.MaxMemory = 40, 30, 20, 1<<40
		}, nil)
		for range 3 {
			c, _ := startWatch(t, f, watchRequest)
			defer c.Close()
		}
		values := gather(t, f)
		for name, want := range map[string][2]float64{
			"connections": {3, 40}, "address_connections": {3, 30}, "user_watches": {3, 20}, "upstream_requests": {0, 1024},
			"body_memory": {0, 64 << 20}, "shared_answer_memory": {0, 128 << 20}, "event_memory": {0, 64 << 20},
		} {
			used, ok := values["limit_used limit="+name]
			limit, there := values["limit limit="+name]
			if used != want[0] || limit != want[1] || !ok || !there {
				t.Errorf("the limit %s: got the use %v (there: %t) of %v (there: %t), want %v of %v", name, used, ok, limit, there, want[0], want[1])
			}
		}
		if values["limit_used limit=memory"] == 0 {
			t.Error("the limit memory: got the use 0, want the live memory")
		}
		for _, limit := range f.Server.Status().Limits {
			if _, ok := values["limit_used limit="+limit.Name]; !ok {
				t.Errorf("the limit %s of the status: got no metric, want one", limit.Name)
			}
		}
	})
}

func TestTheUseOfOpenFilesIsShown(t *testing.T) {
	f, _ := fronttest.Fast.Embedded(t, nil)
	open := func() (used, limit float64) {
		values := gather(t, f)
		return values["limit_used limit=open_files"], values["limit limit=open_files"]
	}
	before, limit := open()
	for range 20 { // other tests must not run at the same time
		file, err := os.Open(os.DevNull)
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
	}
	after, _ := open()
	if after-before < 10 || after-before > 30 || limit < after {
		t.Errorf("after opening 20 files: got %v open files of %v, before %v; want about 20 more", after, limit, before)
	}
}

func TestALimitThatIsOffHasNoUse(t *testing.T) {
	t.Parallel()
	f, _ := fronttest.Fast.EmbeddedWith(t, func(o *proxy.Options) { o.MaxAddressConnections, o.MaxUserWatches, o.MaxMemory = 0, 0, 0 }, nil)
	for series := range gather(t, f) {
		for _, off := range []string{"address_connections", "user_watches", "memory"} {
			if strings.HasPrefix(series, "limit") && strings.HasSuffix(series, "="+off) {
				t.Errorf("got the series %s of a limit that is off, want none", series)
			}
		}
	}
}

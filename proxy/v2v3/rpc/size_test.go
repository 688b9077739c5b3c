package rpc

import (
	"strings"
	"testing"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"etcd-tlsproxy/proxy/proxytest"
)

// TestAMemberTellsHowLargeItsStoreIs asks each release. Those since 3.6 tell their quota.
func TestAMemberTellsHowLargeItsStoreIs(t *testing.T) {
	const quota = 20 << 20
	for _, release := range proxytest.Releases() {
		t.Run(release.Name, func(t *testing.T) {
			t.Parallel()
			o := proxytest.Options{Dir: t.TempDir(), Quota: quota, Hasty: true, NoV2: true}
			var url string
			if release.Program == "" {
				etcd, err := proxytest.StartEmbedded(o)
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(etcd.Close)
				url = etcd.URL()
			} else {
				etcd, err := proxytest.StartProcess(release.Program, o)
				if etcd != nil {
					t.Cleanup(etcd.Kill)
				}
				if err != nil {
					t.Fatal(err)
				}
				url = etcd.URL()
			}
			c := newClient(t, "", "", endpoint(t, url))
			put(t, c, "a", strings.Repeat("x", 1<<20))
			// Etcd writes to its file ten times a second.
			var got Size
			for ctx := testContext(t); got.InUse < 1<<20; {
				before := got
				var err error
				if got, err = c.Size(ctx); err != nil {
					t.Fatalf("after a megabyte: got %+v, and then %v; want that more is in use", before, err)
				}
			}
			if got.InUse > got.File || got.NoSpace || got.Corrupt {
				t.Errorf("after a megabyte: got %+v, want no alarm", got)
			}
			if tells := strings.HasPrefix(release.Name, "3.6") || strings.HasPrefix(release.Name, "3.7"); tells != (got.Quota == quota) || !tells && got.Quota != 0 {
				t.Errorf("got the quota %d, want %d of a release since 3.6, or else none", got.Quota, quota)
			}
			for _, alarm := range []pb.AlarmType{pb.AlarmType_NOSPACE, pb.AlarmType_CORRUPT} {
				if _, err := c.Maintenance().Alarm(testContext(t), &pb.AlarmRequest{Action: pb.AlarmRequest_ACTIVATE, Alarm: alarm}); err != nil {
					t.Fatal(err)
				}
				got, err := c.Size(testContext(t))
				if err != nil || !got.NoSpace || got.Corrupt != (alarm == pb.AlarmType_CORRUPT) {
					t.Errorf("after the alarm %s: got %+v, %v", alarm, got, err)
				}
			}
		})
	}
}

func TestAQuotaIsFoundAmongOtherFields(t *testing.T) {
	for fields, want := range map[string]int64{
		"":                          0,
		"\x60\x05":                  5,
		"\x6a\x01x\x70\x01\x60\x07": 7,
		"\x62\x01x":                 0, // not a number
		"\x60":                      0, // cut off
		"\x6a\x05x":                 0,
		"\xff":                      0,
	} {
		if got := quotaOf([]byte(fields)); got != want {
			t.Errorf("%q: got the quota %d, want %d", fields, got, want)
		}
	}
}

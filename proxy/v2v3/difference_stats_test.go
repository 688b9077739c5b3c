package v2v3_test

import (
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"testing"
	"time"

	"pgregory.net/rapid"

	"etcd-tlsproxy/proxy/proxytest"
	"etcd-tlsproxy/proxy/proxytest/v2draw"
	"etcd-tlsproxy/proxy/v2store"
)

// readKeys are the keys that a comparison of the trees reads.
var readKeys = append([]string{"/", "/a/_h", "/_h"}, v2draw.Keys...)

// statistics returns what the reference and the store have counted.
func (p *pair) statistics() (want, got map[string]int) {
	answer, err := http.Get(p.url + "/v2/stats/store")
	if err != nil {
		p.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err == nil {
		err = json.Unmarshal(body, &want)
	}
	if err == nil {
		err = json.Unmarshal(p.store.Statistics(), &got)
	}
	if err != nil {
		p.Fatalf("reading the statistics: %v: %s", err, body)
	}
	return want, got
}

// since returns by how much numbers have grown.
func since(before, now map[string]int) map[string]int {
	grown := map[string]int{}
	for name, n := range now {
		grown[name] = n - before[name]
	}
	return grown
}

// TestStatisticsEqualThoseOfEtcd compares the numbers after random requests. Drawing a request
// reads from the store alone, so that reads are compared for themselves.
func TestStatisticsEqualThoseOfEtcd(t *testing.T) {
	t.Parallel()
	if proxytest.UnderRaceDetector() {
		t.Skip("etcd itself reads its statistics while they are changed")
	}
	limitChecks(t)
	release := proxytest.Releases()[0]
	b := bench{counts: &counts{of: map[string]int{}}, store: startStore(t, release)}
	b.startReference(t, release)
	rapid.Check(t, func(rt *rapid.T) {
		p := &pair{T: rt, bench: b}
		p.equalize()
		etcdBefore, before := p.statistics()
		for _, seed := range rapid.SliceOfN(v2draw.Seeds, 100, 400).Draw(rt, "seeds") {
			p.Choices = v2draw.New(seed)
			p.both(p.Request(p, v2draw.LongLife))
		}
		etcdNow, now := p.statistics()
		want, got := since(etcdBefore, etcdNow), since(before, now)
		for _, reads := range []string{"getsSuccess", "getsFail"} {
			delete(want, reads)
			delete(got, reads)
		}
		if !maps.Equal(got, want) {
			p.Fatalf("counted writes: got %v, want %v", got, want)
		}
		p.compareTrees()
		etcdLast, last := p.statistics()
		want, got = since(etcdNow, etcdLast), since(now, last)
		// For each request etcd looks for a key that turns its users on, and counts that it is not there.
		want["getsFail"] -= len(readKeys)
		if !maps.Equal(got, want) {
			p.Fatalf("counted reads: got %v, want %v", got, want)
		}
		p.put("/short", "value=1&ttl=1")
		for limit := time.After(30 * time.Second); ; {
			etcdNow, now := p.statistics()
			want, got := etcdNow["expireCount"]-etcdLast["expireCount"], now["expireCount"]-last["expireCount"]
			if want == 1 && got == 1 {
				break
			}
			select {
			case <-limit:
				p.Fatalf("after 30 s: got %d expirations, and %d of etcd, want one each", got, want)
			case <-time.After(10 * time.Millisecond):
			}
		}
	})
	b.counts.log(t)
}

// put sends a write to both, whose answer depends on the clock.
func (p *pair) put(key, query string) {
	q := &v2store.Request{Method: "PUT", Path: key, Query: query}
	if want := p.ask(q); want.status != 201 {
		p.Fatalf("%+v: etcd answers %d %s", *q, want.status, want.body)
	}
	if got, _ := p.do(q); got.status != 201 {
		p.Fatalf("%+v: the store answers %d %s", *q, got.status, got.body)
	}
}

package upstream

import (
	"fmt"
	"hash/maphash"
	"net"
	"runtime"
	"strings"
	"testing"

	"etcd-tlsproxy/proxy/proxytest/dnstest"
)

func TestTheOrderByWeightIsDrawnAndKept(t *testing.T) {
	members := func(names ...string) []srvTarget {
		var all []srvTarget
		for _, name := range names {
			weight := map[string]uint16{"heavy": 30, "light": 10}[name]
			all = append(all, targetOf("http://", &net.SRV{Target: name + ".", Port: 1, Weight: weight}))
		}
		return all
	}
	first := make(map[string]int)
	const draws = 4000
	for range draws {
		draw := maphash.MakeSeed()
		order := fmt.Sprint(preferenceOrder(members("heavy", "light", "zero"), draw))
		if again := fmt.Sprint(preferenceOrder(members("zero", "light", "heavy"), draw)); again != order {
			t.Fatalf("ordering the same members twice: got %s, then %s, want the same", order, again)
		}
		if less := fmt.Sprint(preferenceOrder(members("heavy", "light"), draw)); less != strings.NewReplacer(" http://zero:1", "", "http://zero:1 ", "").Replace(order) {
			t.Fatalf("ordering the members %s without zero: got %s, want the same order of the others", order, less)
		}
		name, _, _ := strings.Cut(strings.TrimPrefix(order, "[http://"), ":")
		first[name]++
	}
	// Seven standard deviations are 5 percent.
	if share := float64(first["heavy"]) / draws; share < 0.70 || share > 0.80 || first["zero"] > draws/100 {
		t.Errorf("members with the weights 30, 10 and 0: got %v times first, want these proportions", first)
	}
	first = make(map[string]int)
	for range draws {
		first[preferenceOrder(members("a", "b"), maphash.MakeSeed())[0].String()]++
	}
	if share := float64(first["http://a:1"]) / draws; share < 0.44 || share > 0.56 {
		t.Errorf("two members without a weight: got %v times first, want half of the times each", first)
	}
}

func TestTheLocalMemberIsFirstWhateverItsPlaceAmongTheRecords(t *testing.T) {
	for place := range 3 {
		var members []srvTarget
		for i, name := range []string{"a", "b", "c"} {
			m := targetOf("http://", &net.SRV{Target: name + ".", Port: 1, Priority: uint16(i)})
			m.local = i == place
			members = append(members, m)
		}
		local := members[place].at
		if got := preferenceOrder(members, maphash.MakeSeed()); got[0] != local {
			t.Errorf("with the local member at %d of the records: got %v, want it first", place, got)
		}
	}
}

func TestTheAddressesOfADomainAreLookedUpEightAtATime(t *testing.T) {
	dns := dnstest.New(t)
	var records []string
	for i := range 3 * maxLookups {
		records = append(records, plainRecord(0, 0, fmt.Sprintf("m%d.example.org", i)))
	}
	publish(dns, records...)
	asked, hold := make(chan string, 1000), make(chan struct{})
	dns.Before(func(name string) {
		if strings.HasPrefix(name, "m") {
			asked <- name
			<-hold
		}
	})
	done := make(chan string, 1)
	go func() {
		found, _ := discover(t, dns)
		done <- found
	}()
	// Each member is asked for with several queries.
	names := make(map[string]bool)
	for len(names) < maxLookups {
		names[<-asked] = true
	}
	for range 10_000 {
		runtime.Gosched() // the others have many turns to come as well
	}
	for len(asked) > 0 {
		names[<-asked] = true
	}
	if len(names) != maxLookups {
		t.Errorf("members whose addresses are looked up at the same time: got %d, want %d", len(names), maxLookups)
	}
	close(hold)
	if n := len(strings.Fields(<-done)); n != 3*maxLookups {
		t.Errorf("discovered endpoints: got %d, want %d", n, 3*maxLookups)
	}
}

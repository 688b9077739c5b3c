package upstream

import (
	"fmt"
	"hash/maphash"
	"net"
	"strings"
	"testing"
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

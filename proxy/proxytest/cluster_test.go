package proxytest

import (
	"context"
	"testing"
	"time"

	client "go.etcd.io/etcd/client/v2"
)

// TestMembersOfAClusterComeAndGo checks what the tests of the cluster verbs rely on.
func TestMembersOfAClusterComeAndGo(t *testing.T) {
	kinds := map[string]string{"embedded": ""}
	if path, version, ok := FindEtcd(); ok {
		kinds["installed "+version] = path
	}
	for name, path := range kinds {
		t.Run(name, func(t *testing.T) { comeAndGo(t, path) })
	}
}

func comeAndGo(t *testing.T, path string) {
	c, err := NewCluster(ClusterOptions{Etcd: path, Dir: t.TempDir(), Hasty: true, Advertise: []string{"https://conf1001.example.org:4001", "", ""}})
	t.Cleanup(c.Close)
	if err != nil {
		t.Fatal(err)
	}
	etcd, err := client.New(client.Config{Endpoints: c.URLs()})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	members := client.NewMembersAPI(etcd)
	advertised := func(want int) map[string]string {
		t.Helper()
		for {
			all, err := members.List(ctx)
			if err != nil || len(all) != want {
				t.Fatalf("listing the members: got %v, %v, want %d members", all, err, want)
			}
			urls := make(map[string]string)
			for _, m := range all {
				if len(m.ClientURLs) > 0 { // a member publishes them some time after its start
					urls[m.Name] = m.ClientURLs[0]
				}
			}
			if len(urls) == want {
				return urls
			}
		}
	}
	if urls := advertised(3); urls["conf1001"] != "https://conf1001.example.org:4001" || urls["conf1002"] != c.Members[1].URL() {
		t.Errorf("advertised URLs: got %v, want that of the options for conf1001, and its own for conf1002", urls)
	}
	follower, err := c.Follower()
	if err != nil {
		t.Fatal(err)
	}
	follower.Close()
	if err := follower.Start(); err != nil {
		t.Fatal(err)
	}
	newcomer, err := c.Newcomer("")
	if err != nil {
		t.Fatal(err)
	}
	added, err := members.Add(ctx, newcomer.PeerURL())
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Join(newcomer); err != nil {
		t.Fatal(err)
	}
	if urls := advertised(4); urls["conf1004"] != newcomer.URL() {
		t.Errorf("advertised URLs after a member was replaced: got %v, want those of the members", urls)
	}
	if err := members.Remove(ctx, added.ID); err != nil {
		t.Fatal(err)
	}
	c.Left(newcomer)
	advertised(3)
}

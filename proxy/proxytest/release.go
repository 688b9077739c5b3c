package proxytest

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"time"

	"go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
)

// Release is a release of etcd whose v3 API tests can use.
type Release struct {
	// Name is "3.5", which is linked in, or the version of a program.
	Name string
	// Program is the path of the program, or "" for the etcd that is linked in.
	Program string
}

// Releases returns the releases that are at hand: the one that is linked in, an installed
// one, and those that `make stores` has built. ETCD_TLSPROXY_TEST_STORES=FOLDER is where the last
// ones are; the default is dist in the checkout.
func Releases() []Release {
	all := []Release{{Name: "3.5"}}
	if path, version, ok := FindEtcd(); ok {
		all = append(all, Release{version, path})
	}
	folder := os.Getenv("ETCD_TLSPROXY_TEST_STORES")
	if folder == "" {
		folder = filepath.Join(checkout(), "dist")
	}
	for _, built := range []Release{{"3.6", "etcd36"}, {"3.7", "etcd37"}} {
		if built.Program = filepath.Join(folder, built.Program); isFile(built.Program) {
			all = append(all, built)
		}
	}
	return all
}

// The APIs of etcd in which a proxy can keep the keys.
const (
	V2 = "v2"
	V3 = "v3"
)

// ChooseEtcd returns the path of the etcd to use for an API, or "" for the one that is linked in. For the
// API v2 it is an installed one. For the API v3 those that `make stores` has built come first, because
// they have no other API.
func ChooseEtcd(api string) (program string) {
	for _, r := range Releases() {
		if r.Program != "" && (api == V3 || r.HasV2()) && (program == "" || !r.HasV2()) {
			program = r.Program
		}
	}
	return program
}

// DescribeEtcd returns the name and the version of the etcd at a path, or of the one that is linked in.
func DescribeEtcd(program string) (string, error) {
	if program == "" {
		return "etcd 3.5, linked in", nil
	}
	version, err := EtcdVersion(program)
	return "etcd " + version + ", a process", err
}

// Restorer returns the path of the tool of this release that restores snapshots, or "" if it is not at
// hand: etcdutl, or etcdctl before etcd 3.6.
func (r Release) Restorer() string {
	if r.Program == "" {
		return ""
	}
	if built := strings.Replace(r.Program, "etcd3", "etcdutl3", 1); built != r.Program && isFile(built) {
		return built
	}
	for _, name := range []string{"etcdutl", "etcdctl"} {
		if beside := filepath.Join(filepath.Dir(r.Program), name); r.HasV2() && isFile(beside) {
			return beside
		}
	}
	return ""
}

// HasV2 reports whether the release has the v2 API.
func (r Release) HasV2() bool {
	return strings.HasPrefix(r.Name, "3.4.") || strings.HasPrefix(r.Name, "3.5")
}

// Cluster starts a cluster of this release, with nothing but the v3 API. The caller must close
// it even after an error.
func (r Release) Cluster(dir string, members int) (*Cluster, error) {
	return NewCluster(ClusterOptions{Etcd: r.Program, Dir: dir, Advertise: make([]string, members), Hasty: true, NoV2: true})
}

// checkout returns the folder of the checkout that has the current folder, or "".
func checkout() string {
	dir, err := os.Getwd()
	for err == nil {
		if isFile(filepath.Join(dir, "proxy", "proxytest", "etcd36", "go.mod")) {
			return dir
		}
		above := filepath.Dir(dir)
		if above == dir {
			break
		}
		dir = above
	}
	return ""
}

func isFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}

// leads reports whether a member is the leader now.
func leads(url string) bool {
	connection, err := grpc.NewClient(strings.TrimPrefix(url, "http://"), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return false
	}
	defer connection.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	status, err := etcdserverpb.NewMaintenanceClient(connection).Status(ctx, &etcdserverpb.StatusRequest{})
	return err == nil && status.Header.MemberId == status.Leader
}

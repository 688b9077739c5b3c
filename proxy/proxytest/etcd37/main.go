// Command etcd37 is etcd 3.7.3 for the tests. It is a module of its own, because its server does
// not build beside the one of etcd 3.5 in the main module.
package main

import (
	"os"

	"go.etcd.io/etcd/server/v3/etcdmain"
)

func main() { etcdmain.Main(os.Args) }

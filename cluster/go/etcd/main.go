// Command etcd is the etcd server alone: its module ships no main package that can be named in a tool directive.
package main

import (
	"os"

	"go.etcd.io/etcd/server/v3/etcdmain"
)

func main() {
	etcdmain.Main(os.Args)
}

// Program hnctl is the command line of a Hardnode cluster.
//
// Owns: nothing but the start and the exit code.
// In: arguments, the configuration directory, stdin.
// Out: data on stdout, talk on stderr, one of the documented exit codes.
// Never: decides anything: commands are in tools/hnctl/cli, the cluster in the orchestrator.
package main

import (
	"context"
	"os"

	"hardnode.dev/tools/hnctl/cli"
)

func main() {
	os.Exit(cli.Main(context.Background(), os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

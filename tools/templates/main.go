// Command templates builds templates: OCI images made of files from Debian's packages.
//
// Owns: out/templates/<name>, an OCI image layout each, and the cache of packages beside them.
// In: tools/templates/<name>/template.yaml and the files beside it; Debian packages, fetched and verified by apt-get.
// Out: the same image for the same inputs; an error when a file is missing, a library is not there, or the image is too large.
// Never: runs anything of a package, needs root, or changes the machine.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"syscall"

	"hardnode.dev/internal/run"
)

func main() {
	out := flag.String("out", "out/templates", "where the layouts go")
	fresh := flag.Bool("fresh", false, "download all packages anew")
	flag.Usage = func() {
		fmt.Fprintln(flag.CommandLine.Output(),
			"usage: templates [flags] FOLDER...\nbuilds the template described in each folder (tools/templates/nginx)")
		flag.PrintDefaults()
	}
	flag.Parse()
	if flag.NArg() == 0 {
		flag.Usage()
		os.Exit(2)
	}
	ctx, stop := run.UntilSignal(context.Background())
	defer stop()
	unlock, err := alone(*out)
	if err != nil {
		fmt.Fprintln(os.Stderr, "templates:", err)
		os.Exit(1)
	}
	defer unlock()
	for _, dir := range flag.Args() {
		if err := build(ctx, dir, *out, *fresh); err != nil {
			fmt.Fprintln(os.Stderr, "templates:", err)
			os.Exit(1)
		}
	}
}

// alone waits until no other run builds into out: builds that run side by side share packages and layouts.
func alone(out string) (unlock func() error, err error) {
	if err := os.MkdirAll(out, 0o755); err != nil {
		return nil, fmt.Errorf("make the folder of layouts: %v", err)
	}
	f, err := os.OpenFile(filepath.Join(out, ".lock"), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, fmt.Errorf("wait for other builds: %v", err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != nil {
		f.Close()
		return nil, fmt.Errorf("wait for other builds: %v", err)
	}
	return f.Close, nil
}

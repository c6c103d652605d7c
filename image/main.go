// Command image builds what a host boots.
//
// Owns: the command line; the work is in image/assemble, one step a file.
// In: the Go module it is started in (its root is found from the working directory); Debian packages; flags.
// Out: out/image/ (see image/assemble).
// Never: installs anything on the machine that builds.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"hardnode.dev/image/assemble"
	"hardnode.dev/internal/run"
)

const usage = `usage: image [flags] [kernel|disk|iso]

Builds the boot artefacts of a host into out/image/: vmlinuz, host.initrd, infra.initrd, host.efi, infra.efi, kernel.json, modules/,
sizes.txt. "kernel" stops after the kernel and its modules; "disk" goes on to disks that UEFI machines boot (out/media/host.disk and
infra.disk), "iso" to ISO images that BIOS and UEFI machines boot as CD or stick (out/media/host.iso and infra.iso).

`

func main() {
	flag.Usage = func() { fmt.Fprint(flag.CommandLine.Output(), usage); flag.PrintDefaults() }
	out := flag.String("out", "out", "output `directory`")
	metal := flag.Bool("metal", false, "for servers: with the drivers of their hardware, into out/metal in place of out/image")
	flag.Parse()
	ctx, stop := run.UntilSignal(context.Background())
	defer stop()
	if err := build(ctx, *out, *metal, flag.Args()); err != nil {
		fmt.Fprintf(os.Stderr, "image: %v\n", err)
		os.Exit(1)
	}
}

func build(ctx context.Context, out string, metal bool, args []string) error {
	dir, err := filepath.Abs(out)
	if err != nil {
		return err
	}
	start := time.Now()
	b := assemble.Builder{Out: dir, Target: assemble.VM,
		Log: func(format string, args ...any) { fmt.Printf("image: "+format+"\n", args...) }}
	if metal {
		b.Target = assemble.Metal
	}
	switch {
	case len(args) == 0:
		if err := b.Image(ctx); err != nil {
			return err
		}
		b.Log("ready in %s (%.1f s)", filepath.Join(b.Out, b.Target.Folder), time.Since(start).Seconds())
		return nil
	case len(args) == 1 && args[0] == "kernel":
		k, tree, err := b.Kernel(ctx)
		if err != nil {
			return err
		}
		if err := b.Modules(k, tree); err != nil {
			return err
		}
		b.Log("kernel %s ready in %s (%.1f s)", k.Release, filepath.Join(b.Out, b.Target.Folder), time.Since(start).Seconds())
		return nil
	}
	if len(args) == 1 && (args[0] == "disk" || args[0] == "iso") {
		if err := b.Image(ctx); err != nil {
			return err
		}
		return b.Media(ctx, args[0])
	}
	return fmt.Errorf("unknown argument %q: see image -h", args[0])
}

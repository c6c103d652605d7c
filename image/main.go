// Command image builds what a host boots.
//
// Owns: the command line; the work is in image/assemble, one step a file, and image/release.
// In: the Go module it is started in (its root is found from the working directory); Debian packages; flags.
// Out: out/image/ and out/metal/ (see image/assemble); media; a release's folder (see image/release).
// Never: installs anything on the machine that builds.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"hardnode.dev/image/assemble"
	"hardnode.dev/image/release"
	"hardnode.dev/image/repro"
	"hardnode.dev/image/sign"
	"hardnode.dev/internal/run"
)

const usage = `usage: image [flags] [kernel|disk|iso|pxe|release|sizes|repro|differ FOLDER FOLDER]

Builds the boot artefacts of a host into out/image/: vmlinuz, host.initrd, infra.initrd, host.efi, infra.efi, kernel.json, modules/,
sizes.txt. "kernel" stops after the kernel and its modules; "disk" goes on to disks that UEFI machines boot (out/media/host.disk and
infra.disk), "iso" to ISO images that BIOS and UEFI machines boot as CD or stick (out/media/host.iso and infra.iso), "pxe" to the tree
that a TFTP and an HTTP server hand to machines that boot from the network (out/media/pxe). "release" builds for virtual machines and
servers, and puts all that ships into one folder, out/release/VERSION. "sizes" builds images and ISOs for both, and fails where one is
larger than it may be. "differ" says where two folders differ first;
"repro" builds release and media twice, below out/repro, and compares them.

image release keys|init|sign|timestamp|rotate|drop|show|secure-boot signs releases (image release help).

`

func main() {
	if len(os.Args) > 2 && os.Args[1] == "release" && slices.Contains(append(sign.Commands(), "help"), os.Args[2]) {
		c := sign.Command()
		c.SetArgs(os.Args[2:])
		if err := c.Execute(); err != nil {
			fmt.Fprintf(os.Stderr, "image release: %v\n", err)
			os.Exit(1)
		}
		return
	}
	flag.Usage = func() { fmt.Fprint(flag.CommandLine.Output(), usage); flag.PrintDefaults() }
	out := flag.String("out", "out", "output `directory`")
	keys := flag.String("secure-boot", "", "`folder` with the keys of secure boot: the systems on media are sealed by them")
	passphrase := flag.String("passphrase-file", "", "`file` whose first line is those keys' passphrase, instead of asking")
	metal := flag.Bool("metal", false, "for servers: with the drivers of their hardware, into out/metal in place of out/image")
	flag.Parse()
	ctx, stop := run.UntilSignal(context.Background())
	defer stop()
	if err := build(ctx, *out, *metal, *keys, *passphrase, flag.Args()); err != nil {
		fmt.Fprintf(os.Stderr, "image: %v\n", err)
		os.Exit(1)
	}
}

func build(ctx context.Context, out string, metal bool, keys, passphrase string, args []string) error {
	var what string
	if len(args) > 0 {
		what, args = args[0], args[1:]
	}
	if want := map[string]int{"differ": 2}[what]; len(args) != want {
		return fmt.Errorf("%q takes %d arguments, got %d: see image -h", what, want, len(args))
	}
	dir, err := filepath.Abs(out)
	if err != nil {
		return err
	}
	about, err := release.Described()
	if err != nil {
		return err
	}
	b := assemble.Builder{Out: dir, Target: assemble.VM, Stamp: assemble.Stamped{Version: string(about.Version)},
		Log: func(format string, args ...any) { fmt.Printf("image: "+format+"\n", args...) }}
	if metal {
		b.Target = assemble.Metal
	}
	if keys != "" {
		if b.Sealer, err = sign.Sealer(keys, passphrase); err != nil {
			return err
		}
	}
	if b.Stamp.Time, err = assemble.CommitTime(ctx); err != nil {
		return err
	}
	start := time.Now()
	switch what {
	case "":
		_, err = b.Image(ctx)
	case "kernel":
		err = b.OnlyKernel(ctx)
	case "disk", "iso", "pxe":
		if _, err = b.Image(ctx); err == nil {
			err = b.Media(ctx, what)
		}
	case "release":
		_, err = shipped(ctx, b, about)
	case "sizes":
		err = sizes(ctx, b)
	case "repro":
		return repro.Run(ctx, ".", filepath.Join(dir, "repro"), b.Cached(""), b.Stamp.Time, b.Log)
	case "differ":
		return differ(args[0], args[1])
	default:
		return fmt.Errorf("unknown argument %q: see image -h", what)
	}
	if err == nil {
		b.Log("ready in %s (%.1f s)", b.Out, time.Since(start).Seconds())
	}
	return err
}

// Package assemble builds the boot artefacts, one step a file, in the order of the file names.
//
// Owns: the steps kernel → modules → programs → rescue → tools → components → root → initrd → command line → sizes, and the stamps that
// skip a step whose inputs are unchanged.
// In: Debian packages (through apt, which verifies them), this module's own programs, u-root's commands.
// Out: below Out, in the target's folder: vmlinuz, cmdline, host.initrd, infra.initrd, host.efi, infra.efi, kernel.json, modules/,
// sizes.txt; media/, bin/*.
// Never: writes outside Out, needs root, or puts a time, a path or an order of its own into an artefact: same inputs, same bytes.
package assemble

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

	"hardnode.dev/image/debian"
	"hardnode.dev/image/uki"
)

// Builder is one run. Out is the output directory, absolute; Stamp is what the image says of itself; Log prints a line for a person.
type Builder struct {
	Out    string
	Target Target
	Stamp  Stamped
	Log    func(format string, args ...any)
	Sealer uki.Sealer // the systems on media are sealed by it; nil: by nobody
}

// in is a path in the target's folder.
func (b Builder) in(parts ...string) string {
	return b.path(append([]string{b.Target.Folder}, parts...)...)
}

// kept is a path in the folder of what the target's builds keep for the next one.
func (b Builder) kept(parts ...string) string {
	return b.path(append([]string{"cache", b.Target.Folder}, parts...)...)
}

func (b Builder) path(parts ...string) string {
	return filepath.Join(append([]string{b.Out}, parts...)...)
}

// Cached is a path among what builds keep for the next one.
func (b Builder) Cached(name string) string { return b.path("cache", name) }

// Sources is a package's source package, then those it was built using.
func (b Builder) Sources(ctx context.Context, p debian.Package) ([]debian.Source, error) {
	return b.archive().Sources(ctx, p)
}

func (b Builder) archive() debian.Archive { return debian.Archive{Cache: b.path("cache"), Log: b.Log} }

// Kernel is what kernel.json records.
type Kernel struct {
	Release string         `json:"release"` // as uname -r
	Package debian.Package `json:"package"`
}

// Kernel fetches the kernel, writes vmlinuz and kernel.json, and returns the unpacked modules directory.
func (b Builder) Kernel(ctx context.Context) (Kernel, string, error) {
	a := b.archive()
	name, err := a.Concrete(ctx, b.Target.meta, b.Target.kernel)
	if err != nil {
		return Kernel{}, "", err
	}
	pkgs, err := a.Get(ctx, name)
	if err != nil {
		return Kernel{}, "", err
	}
	p, dir := pkgs[0], b.path("cache", "unpacked", name)
	if err := a.Unpack(ctx, p, dir); err != nil {
		return Kernel{}, "", err
	}
	found, err := filepath.Glob(filepath.Join(dir, "boot", "vmlinuz-*"))
	if err != nil || len(found) != 1 {
		return Kernel{}, "", fmt.Errorf("find the kernel in package %q: %d files match boot/vmlinuz-*", name, len(found))
	}
	k := Kernel{Release: filepath.Base(found[0])[len("vmlinuz-"):], Package: p}
	if err := os.MkdirAll(b.in(), 0o755); err != nil {
		return Kernel{}, "", fmt.Errorf("make the output directory: %v", err)
	}
	if err := copyFile(b.in("vmlinuz"), found[0], 0o644); err != nil {
		return Kernel{}, "", err
	}
	text, err := json.MarshalIndent(k, "", "  ")
	if err != nil {
		return Kernel{}, "", fmt.Errorf("encode kernel.json: %v", err)
	}
	if err := replace(b.in("kernel.json"), append(text, '\n'), 0o644); err != nil {
		return Kernel{}, "", err
	}
	return k, filepath.Join(dir, "lib", "modules", k.Release), nil
}

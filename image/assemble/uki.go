package assemble

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"hardnode.dev/image/debian"
	"hardnode.dev/image/uki"
	"hardnode.dev/internal/wire/release"
)

// loaderPackage holds the stub of UKIs, and the boot loader.
const (
	loaderPackage = "systemd-boot-efi"
	stubFile      = "usr/lib/systemd/boot/efi/linuxx64.efi.stub"
	loaderFile    = "usr/lib/systemd/boot/efi/systemd-bootx64.efi"
)

// loader is the boot loader, which goes onto the disks that hosts are installed to. Stub has unpacked it.
func (b Builder) loader() string { return b.path("cache", "unpacked", loaderPackage, loaderFile) }

// consoles are what a UKI's kernel talks on: it is one image for all machines, and nobody adds arguments to it. A name without hardware is
// no console and costs nothing; with both, the kernel's last words before init are seen on either.
var consoles = []argument{
	{"console=tty0", "the screen, where there is one"},
	{"console=ttyS0,115200n8", "the first serial port, where there is one"},
}

// Stub reads the stub of UKIs out of its package, which is returned too.
func (b Builder) Stub(ctx context.Context) ([]byte, debian.Package, error) {
	pkgs, err := b.archive().Get(ctx, loaderPackage)
	if err != nil {
		return nil, debian.Package{}, err
	}
	dir := b.path("cache", "unpacked", loaderPackage)
	if err := b.archive().Unpack(ctx, pkgs[0], dir); err != nil {
		return nil, debian.Package{}, err
	}
	stub, err := os.ReadFile(filepath.Join(dir, stubFile))
	if err != nil {
		return nil, debian.Package{}, fmt.Errorf("read the stub of UKIs: %v", err)
	}
	return stub, pkgs[0], nil
}

// ukiArguments is the kernel command line of a UKI.
func ukiArguments() string { return strings.TrimSpace(cmdline(slices.Concat(consoles, arguments))) }

// UKI writes image/<profile>.efi: kernel, command line and the parts of an initramfs as one EFI program, which says what it is made of.
func (b Builder) UKI(profile string, k Kernel, stub []byte, made release.Parts, parts ...Part) error {
	kernel, err := os.ReadFile(b.in("vmlinuz"))
	if err != nil {
		return fmt.Errorf("read the kernel: %v", err)
	}
	loader, err := os.ReadFile(b.loader())
	if err != nil {
		return fmt.Errorf("read the boot loader: %v", err)
	}
	var initrd []byte
	for _, p := range parts {
		initrd = append(initrd, p.Data...)
	}
	text, err := partsText(made)
	if err != nil {
		return err
	}
	image, err := uki.Build(stub,
		uki.Section{Name: uki.Release, Data: []byte(osRelease(b.Stamp))},
		uki.Section{Name: uki.Arguments, Data: []byte(ukiArguments())},
		uki.Section{Name: release.PartsSection, Data: text},
		uki.Section{Name: uki.Uname, Data: []byte(k.Release)},
		uki.Section{Name: uki.Kernel, Data: kernel},
		uki.Section{Name: uki.Initrd, Data: initrd},
		uki.Section{Name: uki.Loader, Data: loader})
	if err != nil {
		return fmt.Errorf("make the UKI of profile %q: %w", profile, err)
	}
	return replace(b.in(profile+".efi"), image, 0o644)
}

// osRelease is the system's os-release(5).
func osRelease(s Stamped) string {
	return fmt.Sprintf("ID=hardnode\nNAME=Hardnode\nVERSION_ID=%[1]s\nPRETTY_NAME=\"Hardnode %[1]s\"\n", s.Version)
}

// system is a profile's UKI for a medium: sealed, where there are keys.
func (b Builder) system(profile string) (string, error) {
	file := b.in(profile + ".efi")
	if b.Sealer == nil {
		return file, nil
	}
	image, err := os.ReadFile(file)
	if err != nil {
		return "", fmt.Errorf("read the UKI: %v", err)
	}
	if image, err = uki.Seal(image, b.Sealer); err != nil {
		return "", fmt.Errorf("profile %q: %w", profile, err)
	}
	out := b.media(profile + ".efi")
	return out, replace(out, image, 0o644)
}

// media is the path of a medium; one whose system is sealed has a name of its own.
func (b Builder) media(name string) string {
	prefix := b.Target.Prefix
	if b.Sealer != nil {
		prefix = "sealed-" + prefix
	}
	return b.path("media", prefix+name)
}

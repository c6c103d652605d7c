package assemble

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"time"

	"hardnode.dev/image/debian"
	"hardnode.dev/internal/disk/medium"
)

// What an ISO takes from Debian's packages: the loader of BIOS machines, from CD and from a stick.
var isoFiles = []struct{ pkg, file, target string }{
	{"isolinux", "usr/lib/ISOLINUX/isolinux.bin", "isolinux/isolinux.bin"},
	{"isolinux", "usr/lib/ISOLINUX/isohdpfx.bin", ""}, // the first sector of a stick
	{"syslinux-common", "usr/lib/syslinux/modules/bios/ldlinux.c32", "isolinux/ldlinux.c32"},
}

// Loaders unpacks the packages that have files on media.
func (b Builder) Loaders(ctx context.Context) ([]debian.Package, error) {
	pkgs, err := b.archive().Get(ctx, "isolinux", "syslinux-common")
	if err != nil {
		return nil, err
	}
	for _, p := range pkgs {
		if err := b.archive().Unpack(ctx, p, b.path("cache", "unpacked", p.Name)); err != nil {
			return nil, err
		}
	}
	return pkgs, nil
}

// esp is the EFI system partition, as a file of the ISO.
const esp = "boot/esp.img"

// isoDeadline bounds the writing of an ISO.
const isoDeadline = 5 * time.Minute

// ISO writes media/<profile>.iso: BIOS and UEFI machines boot the profile from it, as a CD and as a stick.
func (b Builder) ISO(ctx context.Context, profile string) error {
	tree := b.kept("iso", profile)
	if err := os.RemoveAll(tree); err != nil {
		return fmt.Errorf("clear the tree of an ISO: %v", err)
	}
	from := map[string]string{"boot/vmlinuz": b.in("vmlinuz"), "boot/initrd": b.in(profile + ".initrd")}
	sources := map[string]string{}
	if _, err := b.Loaders(ctx); err != nil {
		return err
	}
	for _, f := range isoFiles {
		sources[f.file] = filepath.Join(b.path("cache", "unpacked", f.pkg), f.file)
		if f.target != "" {
			from[f.target] = sources[f.file]
		}
	}
	for to, path := range from {
		if err := copyFile(filepath.Join(tree, to), path, 0o444); err != nil {
			return err
		}
	}
	texts := map[string][]byte{"isolinux/isolinux.cfg": []byte(isolinux())}
	for _, p := range medium.Places() {
		texts[p.Path] = p.Data
	}
	for to, text := range texts {
		if err := replace(filepath.Join(tree, to), text, 0o444); err != nil {
			return err
		}
	}
	// It lies inside the ISO's own filesystem: El Torito's catalogue can't say the length of what is larger than 32 MiB, and firmware
	// takes the filesystem's end for it.
	system, err := b.system(profile)
	if err != nil {
		return err
	}
	loaded := medium.File{Path: medium.Removable, Source: system}
	if err := medium.ESP(filepath.Join(tree, esp), loaded); err != nil {
		return err
	}
	out := b.media(profile + ".iso")
	return makeISO(ctx, out, tree, sources[isoFiles[1].file], b.Stamp.Time)
}

// makeISO writes the tree as an ISO whose times are all the epoch, in Unix seconds. mbr is the first sector of a stick.
func makeISO(ctx context.Context, out, tree, mbr, epoch string) error {
	ctx, cancel := context.WithTimeout(ctx, isoDeadline)
	defer cancel()
	// SOURCE_DATE_EPOCH is for what xorriso adds itself, the other for files and directories, whose times are of the building machine.
	cmd := exec.CommandContext(ctx, "xorriso", "-as", "mkisofs", "-quiet", "-iso-level", "3", "-volid", medium.Label, "-o", out+".new",
		"--set_all_file_dates", "="+epoch, "-isohybrid-mbr", mbr,
		"-c", "isolinux/boot.cat", "-b", "isolinux/isolinux.bin", "-no-emul-boot", "-boot-load-size", "4", "-boot-info-table",
		"-eltorito-alt-boot", "-e", esp, "-no-emul-boot", "-isohybrid-gpt-basdat", tree)
	cmd.Env = append(os.Environ(), "SOURCE_DATE_EPOCH="+epoch)
	if text, err := cmd.CombinedOutput(); errors.Is(err, exec.ErrNotFound) {
		return fmt.Errorf("write %q: xorriso is not installed: run make deps", out)
	} else if err != nil {
		return fmt.Errorf("write %q: xorriso: %v\n%s", out, err, text)
	}
	return os.Rename(out+".new", out)
}

// isolinux is the configuration of the BIOS loader: it boots at once, and shows what it does on screen and serial port.
func isolinux() string {
	return "SERIAL 0 115200\nDEFAULT hardnode\nPROMPT 0\nLABEL hardnode\n  KERNEL /boot/vmlinuz\n  INITRD /boot/initrd\n  APPEND " +
		cmdline(slices.Concat(consoles, arguments))
}

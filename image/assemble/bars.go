package assemble

import (
	"context"
	"errors"
	"fmt"
	"os"

	"hardnode.dev/internal/disk/pick"
)

// bar is a size that has a limit, in bytes.
type bar struct {
	what  string
	bytes int64
	limit int64
	least bool // the limit is the least that it may have, not the most
}

// overhead is what an ISO may have beside the system, which is in it twice: as a UKI and as kernel and initrd. The rescue system is the
// installed UKI once more (internal/disk/bootorder), so media have none of it.
const overhead = 16 << 20

// check says in which way the size is beyond its limit, or nil.
func (b bar) check() error {
	if !b.least && b.bytes > b.limit || b.least && b.bytes < b.limit {
		return fmt.Errorf("%s: it has %.1f MiB, the limit is %.0f MiB", b.what, mib(int(b.bytes)), mib(int(b.limit)))
	}
	return nil
}

func (b bar) String() string {
	word := "at most"
	if b.least {
		word = "at least"
	}
	return fmt.Sprintf("%s: %.1f MiB (%s %.0f)", b.what, mib(int(b.bytes)), word, mib(int(b.limit)))
}

// Bars logs the sizes that have a limit, each as a line that begins with FIGURE, of what Image and Media "iso" have made for the targets.
// The error names all that are beyond theirs.
func Bars(ctx context.Context, targets ...Builder) error {
	all := []bar{{what: "ESP of an installed disk", bytes: pick.ESPSize, limit: 1 << 30, least: true}}
	for _, b := range targets {
		of, err := b.bars(ctx)
		if err != nil {
			return err
		}
		all = append(all, of...)
	}
	var errs []error
	for _, one := range all {
		targets[0].Log("FIGURE %s", one)
		errs = append(errs, one.check())
	}
	return errors.Join(errs...)
}

// bars are those of a target.
func (b Builder) bars(ctx context.Context) ([]bar, error) {
	fw, err := b.Firmware(ctx)
	if err != nil {
		return nil, err
	}
	name := map[bool]string{true: "virtual machines", false: "servers"}[b.Target.withFirmware == 0]
	var out []bar
	for _, profile := range profiles {
		system, err := os.Stat(b.in(profile + ".efi"))
		if err != nil {
			return nil, fmt.Errorf("measure a UKI: %v", err)
		}
		if profile == "host" {
			out = append(out, bar{what: "UKI of hosts, " + name, bytes: system.Size(), limit: int64(b.Target.most(fw))})
			carried, err := b.carried(ctx, fw)
			if err != nil {
				return nil, err
			}
			if carried > 0 {
				out = append(out, bar{what: "UKI of hosts, " + name + ", without firmware and microcode", bytes: system.Size() - carried,
					limit: int64(b.Target.budget)})
			}
		}
		iso, err := os.Stat(b.path("media", b.Target.Prefix+profile+".iso"))
		if err != nil {
			return nil, fmt.Errorf("measure an ISO: %v", err)
		}
		out = append(out, bar{what: "ISO of " + profile + "s, " + name, bytes: iso.Size(), limit: 2*system.Size() + overhead})
	}
	return out, nil
}

// carried is what firmware and microcode take in an image: microcode as it is, firmware as compressed as the root's filesystem has it.
func (b Builder) carried(ctx context.Context, fw Firmware) (n int64, err error) {
	for _, p := range fw.Microcode {
		n += int64(len(p.Data))
	}
	if len(fw.Files) == 0 {
		return n, nil
	}
	var t tree
	for _, f := range fw.Files {
		t.file(f.Target, f.Source, modeOf(f.Target))
	}
	image := b.kept("firmware.erofs")
	if err := t.erofs(ctx, b.kept("firmware.stage"), image); err != nil {
		return 0, err
	}
	defer os.Remove(image)
	st, err := os.Stat(image)
	if err != nil {
		return 0, fmt.Errorf("measure firmware: %v", err)
	}
	return n + st.Size(), nil
}

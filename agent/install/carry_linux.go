package install

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"hardnode.dev/agent/partition"
	"hardnode.dev/agent/vault"
	"hardnode.dev/internal/disk"
	"hardnode.dev/internal/disk/bootorder"
	"hardnode.dev/internal/disk/efi"
	"hardnode.dev/internal/disk/layout"
	"hardnode.dev/internal/disk/medium"
	"hardnode.dev/internal/disk/mirror"
	"hardnode.dev/internal/disk/pick"
	"hardnode.dev/internal/run"
	"hardnode.dev/internal/wire/install"
	"hardnode.dev/internal/wire/slots"
)

// work is one installation.
type work struct {
	i     *Installer
	plan  install.Plan
	disks []target // one, or the two of a mirror
	from  source
	// encrypt: STATE's partition is made an encrypted one. state is what has STATE in the clear, from the formatting on.
	encrypt bool
	state   []string
}

// target is one disk of it.
type target struct {
	install.Target
	content  disk.Content
	identity string // that it gets
}

func (t target) path() string { return t.Disk.Path }

// part is the device of one of its partitions.
func (t target) part(n int) string { return partition.Of(t.Disk.Path, n) }

// of says which disk an error is about.
func (t target) of(err error) error {
	if err != nil {
		err = fmt.Errorf("disk %s: %w", t.path(), err)
	}
	return err
}

// The steps of pick's plans, from 1.
const (
	stepMark = 1 + iota
	stepPartition
	stepFormat
	stepState
	stepSystem
	stepCheck
	stepFirmware
	stepReboot
)

// Deadlines of what can hang.
const (
	formatLimit = 5 * time.Minute
	nodesLimit  = 30 * time.Second
)

// The partitions of a disk, by number.
const (
	espPart = 1 + iota
	statePart
	dataPart
)

// carry does what is planned. At whatever point it is cut off, the disks' notes say what is to be done about it.
func (w *work) carry(ctx context.Context) error {
	if !slices.ContainsFunc(w.disks, func(t target) bool { return t.content.Begun != disk.Written || !t.content.Installed }) {
		return w.finish() // all is there but for the last renames, perhaps
	}
	w.i.step(stepMark, w.plan)
	for _, t := range w.disks { // before anything is lost, each says that it is of no use
		if err := noted(t.path(), disk.Begun); err != nil {
			return t.of(err)
		}
	}
	for n, t := range w.disks {
		said := func() {
			if n == 0 {
				w.i.step(stepPartition, w.plan)
			}
		}
		if err := t.bare(ctx, said); err != nil {
			return t.of(err)
		}
	}
	w.i.step(stepFormat, w.plan)
	if w.encrypt {
		if err := vault.Close(); err != nil { // of an attempt before
			return err
		}
		defer vault.Close() // the reboot ends it, or this does
	}
	if err := w.format(ctx); err != nil {
		return err
	}
	w.i.step(stepState, w.plan)
	if w.i.o.State != "" {
		err := partition.Together(w.state, "btrfs", 0, func(dir string) error { return copyTree(dir, w.i.o.State) })
		if err != nil {
			return w.disks[0].of(fmt.Errorf("copy this host's state: %w", err))
		}
	}
	w.i.step(stepSystem, w.plan)
	sums := make([]map[string][32]byte, len(w.disks))
	for n, t := range w.disks {
		err := partition.Mounted(t.part(espPart), "vfat", 0, func(dir string) (err error) {
			sums[n], err = w.fill(dir)
			return err
		})
		if err != nil {
			return t.of(fmt.Errorf("write the system: %w", err))
		}
	}
	w.i.step(stepCheck, w.plan)
	for n, t := range w.disks {
		err := partition.Mounted(t.part(espPart), "vfat", unix.MS_RDONLY, func(dir string) error { return check(dir, sums[n]) })
		if err != nil {
			return t.of(fmt.Errorf("%w; the disk may be failing: replace it, or try again", err))
		}
	}
	for _, t := range w.disks {
		if err := noted(t.path(), disk.Written); err != nil {
			return t.of(err)
		}
	}
	return w.finish()
}

// parts are the devices of one partition of each disk.
func (w *work) parts(n int) (list []string) {
	for _, t := range w.disks {
		list = append(list, t.part(n))
	}
	return list
}

// bare writes what lies outside of the partitions, and waits until those are there. It calls clear when the disk is empty.
func (t target) bare(ctx context.Context, clear func()) error {
	if err := t.table(ctx, clear); err != nil {
		return err
	}
	for _, n := range []int{espPart, statePart, dataPart} {
		if err := appears(ctx, t.part(n)); err != nil {
			return err
		}
	}
	return nil
}

func (t target) table(ctx context.Context, clear func()) error {
	f, err := os.OpenFile(t.path(), os.O_RDWR|unix.O_EXCL, 0) // nobody else uses it, or this fails
	if errors.Is(err, unix.EBUSY) {
		return errors.New("something began to use it; look at it again")
	}
	if err != nil {
		return err
	}
	defer f.Close()
	size := t.Disk.Bytes
	if err := layout.SetNote(f, disk.Begun); err != nil {
		return err
	}
	if err := layout.Clear(f, size, t.Partitions); err != nil {
		return err
	}
	clear()
	if _, err := layout.Partition(f, size, t.Partitions, t.identity); err != nil {
		return err
	}
	return reread(ctx, f)
}

// reread has the kernel read a disk's partition table. It does not while somebody has one of the former partitions open: who looks at the
// disks, as the status does, has for a moment.
func reread(ctx context.Context, f *os.File) error {
	ctx, cancel := context.WithTimeout(ctx, nodesLimit)
	defer cancel()
	for {
		err := unix.IoctlSetInt(int(f.Fd()), unix.BLKRRPART, 0)
		if err == nil {
			return nil
		}
		if !errors.Is(err, unix.EBUSY) || !run.Wait(ctx, 50*time.Millisecond) {
			return fmt.Errorf("make the kernel read the partition table: %w", err)
		}
	}
}

// appears waits for a device.
func appears(ctx context.Context, path string) error {
	ctx, cancel := context.WithTimeout(ctx, nodesLimit)
	defer cancel()
	for {
		if _, err := os.Stat(path); err == nil {
			return nil
		}
		if !run.Wait(ctx, 50*time.Millisecond) {
			return fmt.Errorf("its partition %s has not appeared within %s", path, nodesLimit)
		}
	}
}

// esp makes an empty ESP.
func (t target) esp() error {
	f, err := os.OpenFile(t.part(espPart), os.O_RDWR, 0)
	if err != nil {
		return err
	}
	return errors.Join(layout.Format(f), f.Close())
}

// Prepare makes a disk ready to take the place of another one's: partitioned, with an empty ESP. Cut off, and afterwards too, its note says
// that it is of no use.
func (i *Installer) Prepare(ctx context.Context, d pick.Found) error {
	id, err := layout.NewGUID()
	if err != nil {
		return err
	}
	t := target{Target: install.Target{Disk: d.Disk, Partitions: pick.Layout(d.Bytes)}, identity: id}
	if err := t.bare(ctx, func() {}); err != nil {
		return err
	}
	return t.esp()
}

// Look finds the machine's disks, each with what is known of it.
func (i *Installer) Look() ([]pick.Found, error) {
	_, found, err := i.look(install.Spec{})
	return found, err
}

func (w *work) format(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, formatLimit)
	defer cancel()
	for _, t := range w.disks {
		if err := t.esp(); err != nil {
			return t.of(err)
		}
	}
	output := func(ctx context.Context, argv ...string) (string, error) {
		out, err := exec.CommandContext(ctx, argv[0], argv[1:]...).CombinedOutput()
		if err != nil {
			err = fmt.Errorf("%s: %w: %s", argv[0], err, strings.TrimSpace(string(out)))
		}
		return string(out), err
	}
	w.state = w.parts(statePart)
	if w.encrypt {
		device, recovery, err := vault.Of(w.state[0]).Make()
		if err != nil {
			return w.disks[0].of(err)
		}
		w.state = []string{device}
		w.i.o.Say("install: recovery key of STATE, shown this once, write it down: %s", recovery.Reveal())
	}
	if err := disk.MakeLabelled(ctx, output, disk.StateLabel, w.state...); err != nil {
		return w.disks[0].of(err)
	}
	if err := disk.Make(ctx, output, w.parts(dataPart)...); err != nil {
		return w.disks[0].of(err)
	}
	if len(w.disks) == 1 {
		return nil
	}
	n := mirror.New()
	for _, t := range w.disks {
		if err := disk.WriteMirror(t.path(), n); err != nil {
			return t.of(err)
		}
	}
	return nil
}

// unnamed is the removable medium's loader before it has its name: without it no firmware boots the disk.
const unnamed = "EFI/BOOT/BOOTX64.NEW"

// fill writes the ESP's files. It returns the digests of the large ones.
func (w *work) fill(dir string) (sums map[string][32]byte, err error) {
	sums = map[string][32]byte{}
	for _, d := range []string{bootorder.Systems, bootorder.Entries, bootorder.Keys, filepath.Dir(bootorder.Loader),
		filepath.Dir(unnamed)} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o700); err != nil {
			return nil, err
		}
	}
	put := func(name, from string) (err error) {
		if sums[name], err = partition.Copy(filepath.Join(dir, name), from); err != nil {
			return fmt.Errorf("copy %s: %w", name, err)
		}
		return nil
	}
	texts := map[string]string{bootorder.Settings: bootorder.SettingsText, bootorder.Shell: bootorder.ShellText}
	err = w.from.use(func(system string) error {
		version, err := Version(system)
		if err != nil {
			return err
		}
		boot, err := loader(system)
		if err != nil {
			return err
		}
		for name, data := range map[string][]byte{bootorder.Loader: boot.program, unnamed: boot.program} {
			if err := partition.Write(filepath.Join(dir, name), string(data)); err != nil {
				return err
			}
			sums[name] = sha256.Sum256(data)
		}
		if maps.Copy(texts, boot.keys); len(boot.keys) > 0 {
			texts[bootorder.Settings] += bootorder.EnrollText
		}
		// The rescue system is the same file: which entry it was booted by says what it is to be.
		for _, e := range []bootorder.Entry{{Slot: slots.A, Rank: 1, Version: version, Left: bootorder.Alone},
			{Slot: slots.Rescue, Rank: 3, Version: version, Left: bootorder.Uncounted}} {
			if err := put(bootorder.File(e.Slot), system); err != nil {
				return err
			}
			if err := partition.Write(filepath.Join(dir, bootorder.Entries, e.Name()), e.Text()); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if w.i.o.Config != "" {
		texts["hardnode.yaml"] = w.i.o.Config
	}
	if raw, err := os.ReadFile(w.i.o.Bundle); err == nil {
		texts["bundle.json"] = string(raw)
	} else if !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	for name, text := range texts {
		if err := partition.Write(filepath.Join(dir, name), text); err != nil {
			return nil, err
		}
	}
	return sums, partition.Sync(dir)
}

// check reads the files from the disk again.
func check(dir string, sums map[string][32]byte) error {
	for name, want := range sums {
		got, err := partition.Sum(filepath.Join(dir, name))
		if err != nil {
			return fmt.Errorf("read %s back: %w", name, err)
		}
		if got != want {
			return fmt.Errorf("what was written as %s does not read back", name)
		}
	}
	return nil
}

// finish makes written disks ones that are booted.
func (w *work) finish() error {
	for _, t := range w.disks {
		err := partition.Mounted(t.part(espPart), "vfat", 0, func(dir string) error {
			err := os.Rename(filepath.Join(dir, unnamed), filepath.Join(dir, medium.Removable))
			if errors.Is(err, fs.ErrNotExist) { // it has its name already
				_, err = os.Stat(filepath.Join(dir, medium.Removable))
			}
			return errors.Join(err, partition.Sync(dir))
		})
		if err != nil {
			return t.of(fmt.Errorf("name the boot loader: %w", err))
		}
	}
	for _, t := range w.disks {
		if err := noted(t.path(), disk.NotBegun); err != nil {
			return t.of(err)
		}
	}
	w.i.step(stepFirmware, w.plan)
	if err := w.entries(); err != nil { // the disks boot without them too
		w.i.o.Say("install: %v; put the disk first in the firmware's own menu", err)
	}
	w.i.step(stepReboot, w.plan)
	return w.i.o.Reboot("installed on " + w.plan.Names())
}

func (w *work) entries() error {
	var disks []string
	for _, t := range w.disks {
		disks = append(disks, t.path())
	}
	list, err := BootEntries(disks...)
	if err != nil {
		return err
	}
	return w.i.vars().SetOrder(list...)
}

// BootEntries are those of an installed host's disks. The loader is there twice: one that could not load a system returns to the firmware,
// which then starts the next entry, and that loader takes the next system. When that can't be loaded either, the firmware starts the rescue
// system. Of two disks the second comes when the first can't be booted, and before any rescue system; which of them is the first stays so
// whatever names they have in a boot: entries lie in memory that wears out.
func BootEntries(disks ...string) (list []efi.Entry, err error) {
	var esps []efi.Partition
	for _, path := range disks {
		f, err := os.Open(path)
		if err != nil {
			return nil, err
		}
		esp, err := layout.Find(f)
		if err := errors.Join(err, f.Close()); err != nil {
			return nil, fmt.Errorf("disk %s: %w", path, err)
		}
		esps = append(esps, esp)
	}
	slices.SortFunc(esps, func(a, b efi.Partition) int { return strings.Compare(a.GUID, b.GUID) })
	var rescue []efi.Entry
	for i, esp := range esps {
		of := ""
		if i > 0 {
			of = fmt.Sprintf(", disk %d", i+1)
		}
		list = append(list, efi.Entry{Name: "Hardnode" + of, Partition: esp, File: bootorder.Loader},
			efi.Entry{Name: "Hardnode" + of + ", again", Partition: esp, File: medium.Removable})
		rescue = append(rescue, efi.Entry{Name: bootorder.RescueEntry + of, Partition: esp, File: bootorder.File(slots.Rescue)})
	}
	return append(list, rescue...), nil
}

func noted(path string, p disk.Progress) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	return errors.Join(layout.SetNote(f, p), f.Close())
}

// copyTree copies files and folders, whole documents each (internal/keep renames them into place), durably.
func copyTree(to, from string) error {
	err := filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil // it went meanwhile
		}
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		st, err := d.Info()
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return nil
		case err != nil:
			return err
		case d.IsDir():
			if err := os.MkdirAll(filepath.Join(to, rel), 0o700); err != nil {
				return err
			}
			return os.Chmod(filepath.Join(to, rel), st.Mode().Perm())
		case !st.Mode().IsRegular() || strings.HasPrefix(d.Name(), "."): // sockets; files that are not whole yet
			return nil
		}
		if _, err := partition.Copy(filepath.Join(to, rel), path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return os.Chmod(filepath.Join(to, rel), st.Mode().Perm())
	})
	if err != nil {
		return err
	}
	return partition.Sync(to)
}

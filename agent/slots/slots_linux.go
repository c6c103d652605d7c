// Package slots keeps the systems of an installed host: which one is booted, which one is tried, and when one has shown that it is well.
//
// Owns: the files of the ESP's slots and loader entries, the record in STATE; the way a system gets into a slot.
// In: how well this boot is; what a person asks for; the firmware's variables.
// Out: loader entries, a boot order, a reboot when a slot on trial is not well in time; the status, for people.
// Never: decides (internal/disk/bootorder does), touches the slot that is booted, or writes over a file that the loader may read.
package slots

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"hardnode.dev/agent/install"
	"hardnode.dev/agent/partition"
	"hardnode.dev/internal/disk"
	"hardnode.dev/internal/disk/bootorder"
	"hardnode.dev/internal/disk/efi"
	"hardnode.dev/internal/keep"
	"hardnode.dev/internal/logging"
	"hardnode.dev/internal/run"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/boot"
	"hardnode.dev/internal/wire/slots"
)

// Options are what a Keeper needs.
type Options struct {
	State  string // the folder of STATE
	Boot   string // this boot's id
	Uptime func() time.Duration
	// Up says what is missing for a slot to count as up, Well for one on trial to be committed besides: that one is asked on trial alone.
	Up, Well func() []string
	// Containers are those that run, and those that should.
	Containers func() (running, wanted []wire.CTID)
	Reboot     func(reason string) error
	Hot        func() string // the release of programs that run in place of those of the booted slot; nil: none can
	Log        *slog.Logger  // nil discards
}

// Keeper keeps the slots. Its methods may be called at once.
type Keeper struct {
	o    Options
	log  *slog.Logger
	vars efi.Vars
	disk string   // the installed disk; "": this host is not installed
	both []string // it and the other one of its mirror, as they were at the start
	mine bool     // this boot is from it
	doc  keep.Doc[bootorder.Record]
	mu   struct {
		sync.Mutex // of the ESP too: one at a time
		waits      []string
		sound      bool // the booted ESP has nothing askew in this boot
		settled    bool // nothing is left to do in this boot
		changed    bool // the booted ESP's entries are others than they were
		alike      bool // the other disk's ESP had the same systems in this boot
	}
	work struct {
		sync.Mutex
		busy, failed, lags string
	}
}

// New makes one. On a host that is not installed it does nothing.
func New(o Options) *Keeper {
	k := &Keeper{o: o, log: logging.Or(o.Log), vars: efi.Vars{Dir: efi.Dir},
		doc: keep.Doc[bootorder.Record]{Path: filepath.Join(o.State, filepath.Base(boot.SlotsFile)), Version: 1}}
	if k.disk = install.InstalledOn(); k.disk != "" {
		k.both = install.Halves(k.disk)
		k.mine = disk.Booted("/sys/class/block", "/dev", k.vars.Partition()) == k.disk
	}
	return k
}

// every is how often it is looked at how well a slot is.
const every = 5 * time.Second

// Run looks at this boot until it is settled and ctx ends.
func (k *Keeper) Run(ctx context.Context) error {
	if k.disk == "" {
		<-ctx.Done()
		return nil
	}
	last := ""
	return run.Every(ctx, every, func(context.Context) error {
		err := k.look()
		if err != nil && err.Error() != last {
			last = err.Error()
			k.log.Error("look at the slots", logging.Err, err)
		}
		return nil
	})
}

// booted is the slot that this boot is from; "" when it is not known.
func (k *Keeper) booted() slots.Name {
	if !k.mine {
		return ""
	}
	return disk.BootedSlot(k.vars, "/")
}

// look decides and carries out.
func (k *Keeper) look() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.mu.settled {
		return nil
	}
	defer k.after()
	if !k.mu.sound {
		if err := k.whole(); err != nil {
			return err
		}
		k.mu.sound = true
	}
	return k.mounted(unix.MS_RDONLY, func(dir string) error {
		record, now, err := k.read(dir)
		if err != nil {
			return err
		}
		v := bootorder.Decide(record, now)
		k.mu.waits = v.Waits
		if err := k.apply(dir, record, now, v); err != nil {
			return err
		}
		if v.Reboot != "" {
			k.log.Warn("the host goes back", logging.Reason, v.Reboot)
			err := k.o.Reboot(v.Reboot)
			k.mu.settled = err == nil // else it is tried again at the next look
			return err
		}
		if k.mu.settled = len(now.Up) == 0 && len(v.Waits) == 0; k.mu.settled {
			k.log.Info("slots", "booted", now.Booted, "committed", v.Record.Committed)
			return errors.Join(os.WriteFile(boot.SettledFile, []byte(now.Booted), 0o600), k.order())
		}
		return nil
	})
}

// order enters the disk into the firmware's boot order again, where it got lost; of a mirror both.
func (k *Keeper) order() error {
	list, err := install.BootEntries(install.Halves(k.home())...)
	if err != nil {
		return err
	}
	return k.vars.SetOrder(list...)
}

// mounted mounts the ESP while f runs.
func (k *Keeper) mounted(flags uintptr, f func(dir string) error) error {
	return partition.Mounted(partition.Of(k.home(), 1), "vfat", flags, f)
}

// read is the record and the moment.
func (k *Keeper) read(dir string) (bootorder.Record, bootorder.Now, error) {
	now := bootorder.Now{Booted: k.booted(), Boot: k.o.Boot, Uptime: k.o.Uptime()}
	now.Up = k.o.Up()
	now.Running, now.Wanted = k.o.Containers()
	record, _, err := k.doc.Load()
	if err != nil {
		return record, now, fmt.Errorf("read what is known of the slots: %w", err)
	}
	if t := record.Trial; t != nil && t.Slot == now.Booted && t.Boot != now.Boot && !t.Back {
		now.Well = k.o.Well()
	}
	if now.Entries, err = entries(dir, k.log); err != nil {
		return record, now, err
	}
	_, err = os.Stat(filepath.Join(dir, bootorder.File(slots.Rescue)))
	now.Rescue = err == nil
	return record, now, nil
}

// entries are the loader's on an ESP.
func entries(dir string, log *slog.Logger) (list []bootorder.Entry, err error) {
	names, err := os.ReadDir(filepath.Join(dir, bootorder.Entries))
	if err != nil {
		return nil, fmt.Errorf("list the loader's entries: %w", err)
	}
	for _, n := range names {
		text, err := os.ReadFile(filepath.Join(dir, bootorder.Entries, n.Name()))
		if err != nil { // what a power cut left: it is written anew, or goes
			log.Warn("an entry of the loader can't be read", logging.Err, err)
		}
		if e, ok := bootorder.Parse(n.Name(), string(text)); ok {
			list = append(list, e)
		}
	}
	return list, nil
}

// writable has an ESP that is mounted to be read written to.
func writable(dir string) error {
	if err := unix.Mount("", dir, "", unix.MS_REMOUNT|unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, ""); err != nil {
		return fmt.Errorf("write the loader's entries: %w", err)
	}
	return nil
}

// apply makes record and entries as they should be, the record first: entries that don't fit it are put right at the next look, and a slot
// that is tried without a record of it would never be gone back from.
func (k *Keeper) apply(dir string, was bootorder.Record, now bootorder.Now, v bootorder.Verdict) error {
	if !same(was, v.Record) {
		if err := k.doc.Save(v.Record); err != nil {
			return fmt.Errorf("keep what is known of the slots: %w", err)
		}
	}
	if sameEntries(now.Entries, v.Entries) {
		return nil
	}
	if err := writable(dir); err != nil {
		return err
	}
	k.mu.changed = true
	return writeEntries(filepath.Join(dir, bootorder.Entries), v.Entries)
}

// writeEntries writes what is new, and only when that is on the disk takes away what is old: at each cut there is an entry for every slot
// that can be booted. (FAT can't replace one name by another at once.)
func writeEntries(dir string, want []bootorder.Entry) error {
	keepNames := map[string]bool{}
	for _, e := range want {
		keepNames[e.Name()] = true
		path := filepath.Join(dir, e.Name())
		if text, err := os.ReadFile(path); err == nil && string(text) == e.Text() {
			continue
		}
		if err := partition.Write(path, e.Text()); err != nil {
			return fmt.Errorf("write the loader's entry: %w", err)
		}
	}
	if err := partition.Sync(dir); err != nil {
		return err
	}
	names, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("list the loader's entries: %w", err)
	}
	for _, n := range names {
		if _, ours := bootorder.Parse(n.Name(), ""); ours && !keepNames[n.Name()] {
			if err := os.Remove(filepath.Join(dir, n.Name())); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return fmt.Errorf("remove the loader's old entry: %w", err)
			}
		}
	}
	return partition.Sync(dir)
}

func same(a, b bootorder.Record) bool {
	return reflect.DeepEqual(a.Trial, b.Trial) && a.Committed == b.Committed && slices.Equal(a.Known, b.Known)
}

func sameEntries(a, b []bootorder.Entry) bool {
	name := func(list []bootorder.Entry) (names []string) {
		for _, e := range list {
			names = append(names, e.Name()+" "+e.Version)
		}
		slices.Sort(names)
		return names
	}
	return slices.Equal(name(a), name(b))
}

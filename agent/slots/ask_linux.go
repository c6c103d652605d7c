package slots

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"hardnode.dev/agent/install"
	"hardnode.dev/agent/partition"
	"hardnode.dev/internal/disk/bootorder"
	"hardnode.dev/internal/logging"
	"hardnode.dev/internal/wire/slots"
)

// NotInstalled: this host runs from a medium or from the network, and has no slots.
var NotInstalled = errors.New("this host was not booted from an installed disk, so it has no slots; install it first (hnctl host install)")

// Status is what is known of the slots.
func (k *Keeper) Status() slots.Status {
	if k.disk == "" {
		return slots.Status{}
	}
	s := slots.Status{Installed: true, Disk: k.home()}
	if k.o.Hot != nil {
		s.Hot = k.o.Hot()
	}
	k.work.Lock()
	s.Busy, s.Failed = k.work.busy, k.work.failed
	k.work.Unlock()
	if s.Busy != "" {
		return s
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	s.Waits = k.mu.waits
	err := k.mounted(unix.MS_RDONLY, func(dir string) error {
		record, now, err := k.read(dir)
		if err != nil {
			return err
		}
		s.Slots = list(record, now, dir)
		if t := record.Trial; t != nil && t.Slot == now.Booted && t.Boot != now.Boot {
			s.Deadline = time.Now().Add(time.Duration(t.Within)*time.Second - now.Uptime).Unix()
		}
		return nil
	})
	var orderErr error
	if s.Firmware, orderErr = k.vars.Order(); err == nil {
		err = orderErr
	}
	if err != nil {
		s.Problem = err.Error()
	}
	return s
}

// Read calls f with the system in a slot, whatever it is. Nothing is written to the ESP meanwhile.
func (k *Keeper) Read(slot slots.Name, f func(io.Reader) error) error {
	if k.disk == "" {
		return NotInstalled
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.mounted(unix.MS_RDONLY, func(dir string) error {
		file, err := os.Open(filepath.Join(dir, bootorder.File(slot)))
		if err != nil {
			return err
		}
		defer file.Close()
		return f(file)
	})
}

// list puts record and entries together.
func list(r bootorder.Record, now bootorder.Now, dir string) (all []slots.Slot) {
	for _, name := range []slots.Name{slots.A, slots.B, slots.Rescue} {
		x := slots.Slot{Name: name, State: slots.Empty, Booted: name == now.Booted, Next: name == bootorder.Next(now.Entries)}
		for _, e := range now.Entries {
			if e.Slot == name {
				x.Tries, x.Version, x.State = max(e.Left, 0), e.Version, slots.Staged
			}
		}
		if name == slots.Rescue && x.State != slots.Empty {
			x.State = slots.Good
		}
		for _, kn := range r.Known {
			if kn.Slot == name {
				x.State, x.Version, x.SHA256, x.Reason = kn.State, kn.Version, kn.SHA256, kn.Reason
			}
		}
		switch {
		case r.Trial != nil && r.Trial.Slot == name:
			x.State = slots.Trying
		case r.Committed == name:
			x.State = slots.Committed
		}
		if st, err := os.Stat(filepath.Join(dir, bootorder.File(name))); err == nil && x.State != slots.Empty {
			x.Bytes = st.Size()
		}
		if name != slots.Rescue || x.State != slots.Empty {
			all = append(all, x)
		}
	}
	return all
}

// Rescued says why no slot was booted, as far as the loader's entries tell.
func (k *Keeper) Rescued() (why string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	err := k.mounted(unix.MS_RDONLY, func(dir string) error {
		_, now, err := k.read(dir)
		why = bootorder.Rescued(now.Entries)
		return err
	})
	if err != nil {
		why = "its disk can't be read: " + err.Error()
	}
	return why
}

// Ask is Status, or Do.
func (k *Keeper) Ask(ctx context.Context, a slots.Ask) (slots.Status, error) {
	if a.Do != nil {
		return k.Do(ctx, *a.Do)
	}
	return k.Status(), nil
}

// Do carries out what a person asked for.
func (k *Keeper) Do(_ context.Context, r slots.Request) (slots.Status, error) {
	if k.disk == "" {
		return slots.Status{}, NotInstalled
	}
	if err := r.Validate(); err != nil {
		return slots.Status{}, err
	}
	if r.Action == slots.Stage || r.Action == slots.Copy {
		err := k.begin(r)
		return k.Status(), err
	}
	if err := k.ask(r); err != nil {
		return slots.Status{}, err
	}
	s := k.Status()
	if r.Reboot {
		return s, k.o.Reboot(fmt.Sprintf("slot %s is to be booted", bootorder.Next(entriesOf(s))))
	}
	return s, nil
}

func entriesOf(s slots.Status) (list []bootorder.Entry) {
	for _, x := range s.Slots {
		if x.Next {
			list = append(list, bootorder.Entry{Slot: x.Name, Left: 1})
		}
	}
	return list
}

// begin writes into a slot while the caller goes on: that takes longer than a request may.
func (k *Keeper) begin(r slots.Request) error {
	k.work.Lock()
	defer k.work.Unlock()
	if k.work.busy != "" {
		return fmt.Errorf("%s; wait for it", k.work.busy)
	}
	k.work.busy, k.work.failed = "a system is being written into the slot that is not booted", ""
	go func() {
		err := k.stage(r)
		k.work.Lock()
		defer k.work.Unlock()
		if k.work.busy = ""; err != nil {
			k.work.failed = err.Error()
			k.log.Error("stage", logging.Err, err)
		}
	}()
	return nil
}

// Leaving is to be called when the machine is left by order: a slot on trial is tried anew by the next boot.
func (k *Keeper) Leaving() error {
	if k.disk == "" {
		return nil
	}
	return k.change(func(record bootorder.Record, now bootorder.Now) (bootorder.Verdict, error) {
		v := bootorder.Leave(record, now)
		if !same(record, v.Record) {
			k.log.Info("the slot that is tried is tried anew by the next boot", "slot", now.Booted)
		}
		return v, nil
	})
}

// Chose counts a slot as the loader does that takes it, for a system that is started without the loader. undo takes that back.
func (k *Keeper) Chose(slot slots.Name) (undo func() error, err error) {
	if k.disk == "" {
		return nil, NotInstalled
	}
	var was []bootorder.Entry
	err = k.change(func(record bootorder.Record, now bootorder.Now) (bootorder.Verdict, error) {
		was = now.Entries
		return bootorder.Verdict{Record: record, Entries: bootorder.Chosen(was, slot)}, nil
	})
	return func() error {
		return k.change(func(record bootorder.Record, _ bootorder.Now) (bootorder.Verdict, error) {
			return bootorder.Verdict{Record: record, Entries: was}, nil
		})
	}, err
}

// ask changes what is booted next.
func (k *Keeper) ask(r slots.Request) error {
	return k.change(func(record bootorder.Record, now bootorder.Now) (bootorder.Verdict, error) {
		v, err := bootorder.Ask(record, now, r.Action, r.Slot, time.Duration(r.Within)*time.Second)
		if err == nil {
			k.log.Info("slot", "action", string(r.Action), "slot", bootorder.Next(v.Entries))
		}
		return v, err
	})
}

// change has the record and the loader's entries be what f makes of them, on both disks.
func (k *Keeper) change(f func(bootorder.Record, bootorder.Now) (bootorder.Verdict, error)) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	defer k.after()
	return k.mounted(unix.MS_RDONLY, func(dir string) error {
		record, now, err := k.read(dir)
		if err != nil {
			return err
		}
		v, err := f(record, now)
		if err != nil {
			return err
		}
		return k.apply(dir, record, now, v)
	})
}

// stage puts a system into the slot that is not booted: first the slot's entry goes, so that nobody boots what is half written.
func (k *Keeper) stage(r slots.Request) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	slot := k.booted().Other()
	if r.Slot != "" {
		slot = r.Slot
	}
	if r.Action == slots.Stage {
		if err := believed(k.vars, r.File); err != nil {
			return fmt.Errorf("stage into slot %s: %s: %w", slot, filepath.Base(r.File), err)
		}
	}
	var version string
	path := func(dir string) string { return filepath.Join(dir, bootorder.File(slot)) }
	say := func(known bootorder.Known) func(string) error {
		return func(dir string) error {
			record, now, err := k.read(dir)
			if err != nil {
				return err
			}
			v, err := bootorder.Stage(record, now, known)
			if err != nil {
				return err
			}
			return k.apply(dir, record, now, v)
		}
	}
	if err := k.mounted(unix.MS_RDONLY, say(bootorder.Known{Slot: slot})); err != nil { // refused, or the slot has no entry any more
		return err
	}
	k.after()
	err := k.mounted(0, func(dir string) (err error) {
		if r.Action == slots.Copy {
			r.File = filepath.Join(dir, bootorder.File(k.booted()))
			own, err := partition.Sum(r.File)
			if err != nil {
				return err
			}
			r.SHA256 = hex.EncodeToString(own[:])
		}
		if version, err = install.Version(r.File); err != nil {
			return fmt.Errorf("%s: %w", filepath.Base(r.File), err)
		}
		st, err := os.Stat(r.File)
		if err != nil {
			return err
		}
		var fs unix.Statfs_t
		if err := unix.Statfs(dir, &fs); err != nil {
			return err
		}
		free := int64(fs.Bavail) * fs.Bsize
		if old, err := os.Stat(path(dir)); err == nil {
			free += old.Size()
		}
		if free < st.Size()+1<<20 {
			return fmt.Errorf("the ESP has %d MiB free, and the system needs %d; remove what is not a slot's from it", free>>20,
				st.Size()>>20+1)
		}
		sum, err := partition.Copy(path(dir), r.File)
		if err == nil && hex.EncodeToString(sum[:]) != strings.ToLower(r.SHA256) {
			err = errors.New("the file has another SHA-256 than was asked for; fetch it again")
		}
		if err != nil {
			return errors.Join(err, os.Remove(path(dir)))
		}
		return partition.Sync(dir)
	})
	if err != nil {
		return fmt.Errorf("stage into slot %s: %w", slot, err)
	}
	defer k.alike(true)
	// Mounted anew, it is read from the disk.
	return k.mounted(unix.MS_RDONLY, func(dir string) error {
		sum, err := partition.Sum(path(dir))
		if err != nil {
			return fmt.Errorf("read slot %s back: %w", slot, err)
		}
		if hex.EncodeToString(sum[:]) != strings.ToLower(r.SHA256) {
			return fmt.Errorf("slot %s does not read back what was written; the disk may be failing: replace it, or stage again", slot)
		}
		return say(bootorder.Known{Slot: slot, Version: version, SHA256: strings.ToLower(r.SHA256)})(dir)
	})
}

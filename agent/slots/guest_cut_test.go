//go:build guest

package slots

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"hardnode.dev/agent/partition"
	"hardnode.dev/internal/disk/bootorder"
	"hardnode.dev/internal/disk/efi"
	"hardnode.dev/internal/disk/fat"
	"hardnode.dev/internal/keep"
	"hardnode.dev/internal/logging"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/boot"
	"hardnode.dev/internal/wire/slots"
)

// The files that the outer test gives: the system that runs, one that was in slot b before, and one that comes there.
const running, before, next = "/running.efi", "/before.efi", "/next.efi"

// keeper keeps the slots of an ESP, which is a device; its host runs from slot a, and is well.
func keeper(t *testing.T, esp string) *Keeper {
	t.Helper()
	vars, disk := t.TempDir(), on(t, esp)
	var selected []byte
	for _, c := range "hardnode-1-a.conf\x00" {
		selected = binary.LittleEndian.AppendUint16(selected, uint16(c))
	}
	name := filepath.Join(vars, "LoaderEntrySelected-4a67b082-0a4c-41cf-b6c7-440b29bb8c4f")
	if err := errors.Join(os.MkdirAll(boot.RunDir, 0o755), os.WriteFile(name, append(make([]byte, 4), selected...), 0o600)); err != nil {
		t.Fatal(err)
	}
	return &Keeper{log: logging.Or(nil), vars: efi.Vars{Dir: vars}, disk: disk, mine: true,
		doc: keep.Doc[bootorder.Record]{Path: filepath.Join(t.TempDir(), "slots.json"), Version: 1},
		o: Options{Boot: "this", Uptime: func() time.Duration { return time.Minute },
			Up:         func() []string { return nil },
			Well:       func() []string { return nil },
			Containers: func() (running, wanted []wire.CTID) { return nil, nil }}}
}

// settle has the slots as they are once the host is up.
func settle(k *Keeper) error {
	return k.mounted(unix.MS_RDONLY, func(dir string) error {
		record, now, err := k.read(dir)
		if err != nil {
			return err
		}
		return k.apply(dir, record, now, bootorder.Decide(record, now))
	})
}

var sums = map[string]string{}

// sum is the SHA-256 of a file of the outer test.
func sum(t *testing.T, path string) string {
	t.Helper()
	if sums[path] == "" {
		s, err := partition.Sum(path)
		if err != nil {
			t.Fatal(err)
		}
		sums[path] = hex.EncodeToString(s[:])
	}
	return sums[path]
}

// on is a disk whose first partition is the device.
func on(t *testing.T, esp string) (disk string) {
	t.Helper()
	disk = filepath.Join(t.TempDir(), "disk")
	if err := os.Symlink(esp, partition.Of(disk, 1)); err != nil {
		t.Fatal(err)
	}
	return disk
}

// TestCut plays the part that the outer test of qemu-tests/boot gives it.
func TestCut(t *testing.T) {
	switch part := os.Getenv("PART"); part {
	case "begin": // an ESP as an installed host has it after an update
		k := keeper(t, "/dev/vda")
		err := k.mounted(0, func(dir string) error {
			e := bootorder.Entry{Slot: slots.A, Rank: 1, Version: "1", Left: 1}
			_, err := partition.Copy(filepath.Join(made(t, dir, bootorder.Systems), "a.efi"), running)
			return errors.Join(err, partition.Write(filepath.Join(made(t, dir, bootorder.Entries), e.Name()), e.Text()),
				partition.Sync(dir))
		})
		if err == nil {
			err = errors.Join(settle(k), k.stage(slots.Request{Action: slots.Stage, File: before, SHA256: sum(t, before)}))
		}
		if err != nil {
			t.Fatal(err)
		}
	case "update": // what the power is cut in: the booted ESP, and the other one, which follows it
		k, other := keeper(t, "/dev/vda"), on(t, "/dev/vdb")
		if err := errors.Join(settle(k), k.follow(other, true),
			k.stage(slots.Request{Action: slots.Stage, File: next, SHA256: sum(t, next)}), k.follow(other, true),
			k.ask(slots.Request{Action: slots.Try}), k.follow(other, false)); err != nil {
			t.Fatal(err)
		}
	case "after": // one ESP after another, of the booted disk and of the other one in turns
		const each = 1 << 30
		f, err := os.Open("/dev/vdb")
		if err != nil {
			t.Fatal(err)
		}
		size, err := f.Seek(0, io.SeekEnd)
		if err != nil || size < each {
			t.Fatal(size, err)
		}
		for i := range size / each {
			t.Run(fmt.Sprint(i), func(t *testing.T) {
				esp := looped(t, f, i*each, each)
				k := keeper(t, esp)
				judge(t, k)
				if i%2 == 0 {
					goesOn(t, k)
				} else if err := keeper(t, "/dev/vda").follow(on(t, esp), true); err != nil {
					t.Errorf("it is made like the other one: %v", err)
				}
				if slot := judge(t, k); slot != slots.B {
					t.Errorf("after it the loader takes slot %s", slot)
				}
				if f, err := os.Open(esp); err != nil {
					t.Error(err)
				} else if askew, err := fat.Askew(f); err != nil || len(askew) > 0 {
					t.Errorf("after it %q are askew, %v", askew, err)
				}
			})
		}
	default:
		t.Skip("the outer test gives it a part")
	}
}

// looped is a part of a disk as a device of its own.
func looped(t *testing.T, disk *os.File, at, size int64) (device string) {
	t.Helper()
	control, err := os.OpenFile("/dev/loop-control", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer control.Close()
	n, err := unix.IoctlRetInt(int(control.Fd()), unix.LOOP_CTL_GET_FREE)
	if err != nil {
		t.Fatal(err)
	}
	device = fmt.Sprint("/dev/loop", n)
	loop, err := os.OpenFile(device, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { loop.Close() }) // the last one who has it open
	back, err := os.OpenFile(disk.Name(), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer back.Close()
	c := unix.LoopConfig{Fd: uint32(back.Fd()), Info: unix.LoopInfo64{Offset: uint64(at), Sizelimit: uint64(size),
		Flags: unix.LO_FLAGS_AUTOCLEAR}}
	if err := unix.IoctlLoopConfigure(int(loop.Fd()), &c); err != nil {
		t.Fatal(err)
	}
	return device
}

func made(t *testing.T, dir, folder string) string {
	t.Helper()
	path := filepath.Join(dir, folder)
	if err := os.MkdirAll(path, 0o700); err != nil {
		t.Fatal(err)
	}
	return path
}

// judge: what the loader takes is whole.
func judge(t *testing.T, k *Keeper) (slot slots.Name) {
	t.Helper()
	err := k.mounted(unix.MS_RDONLY, func(dir string) error {
		_, now, err := k.read(dir)
		if err != nil {
			return err
		}
		bootable := now.Entries[:0:0]
		for _, e := range now.Entries {
			if e.Version != "" { // one without a text is none for the loader
				bootable = append(bootable, e)
			}
		}
		slot = bootorder.Next(bootable)
		if slot != slots.A && slot != slots.B {
			return fmt.Errorf("the loader has nothing to take: %+v", now.Entries)
		}
		got, err := partition.Sum(filepath.Join(dir, bootorder.File(slot)))
		if err != nil {
			return err
		}
		if is := hex.EncodeToString(got[:]); slot == slots.A && is != sum(t, running) || slot == slots.B && is != sum(t, next) {
			return fmt.Errorf("slot %s is booted, and is not whole; entries %+v", slot, now.Entries)
		}
		t.Logf("the loader takes slot %s", slot)
		return nil
	})
	if err != nil {
		t.Errorf("the next boot: %v", err)
	}
	return slot
}

// goesOn: the host goes on as if nothing had been: it settles, and takes the update.
func goesOn(t *testing.T, k *Keeper) {
	t.Helper()
	if err := errors.Join(k.whole(), settle(k)); err != nil {
		t.Errorf("the host settles: %v", err)
	}
	for _, file := range []string{before, next} {
		if err := k.stage(slots.Request{Action: slots.Stage, File: file, SHA256: sum(t, file)}); err != nil {
			t.Errorf("then %s is staged: %v", file, err)
		}
	}
	if err := k.ask(slots.Request{Action: slots.Try}); err != nil {
		t.Errorf("and tried: %v", err)
	}
}

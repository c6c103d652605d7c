package machine

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"hardnode.dev/internal/disk"
	"hardnode.dev/internal/disk/btrfs"
	"hardnode.dev/internal/disk/zram"
	"hardnode.dev/internal/run"
	"hardnode.dev/internal/wire/boot"
)

// dataDisk is where DATA lies in this boot.
type dataDisk struct {
	path   string
	action disk.Action // how it came to be DATA
}

const (
	settleDisks = 5 * time.Second  // a disk that is named, or any at all, may take this long to appear
	lookAgain   = 10 * time.Second // while the host waits for a person
	// settleMirror is how long the other disk of a mirror may take: a host that goes on alone has a disk to fill again
	settleMirror = 15 * time.Second
)

var errHalf = errors.New("the other disk of the mirror has not appeared yet")

// stepData finds, if need be formats, and mounts DATA. A disk that must not be touched makes the host wait, saying what to do.
func (m *Machine) stepData(ctx context.Context) (string, error) {
	if m.rescue {
		return m.useData(ctx, disk.Choice{Action: disk.RAM, Reason: "the rescue system touches no disk"})
	}
	select {
	case <-m.slow:
	case <-ctx.Done():
		return "", ctx.Err()
	}
	began, last := time.Now(), ""
	for {
		choice, err := m.chooseData(time.Since(began) < settleDisks)
		if err == nil && choice.Mirror.Alone && time.Since(began) < settleMirror {
			err = errHalf
		}
		if err == nil && choice.Action == disk.RAM && m.config.Storage.Data != "none" && m.config.Install == nil &&
			time.Since(began) < settleDisks {
			err = fmt.Errorf("no disk yet")
		}
		if err == nil {
			m.setProblem("")
			return m.useData(ctx, choice)
		}
		wait := lookAgain
		if time.Since(began) < settleDisks || err == errHalf {
			wait = 250 * time.Millisecond
		} else if err.Error() != last { // said once, not at every look
			last = err.Error()
			m.setProblem(last)
			m.con.Line("waiting: %s", last)
			m.showConsole()
		}
		if !run.Wait(ctx, wait) {
			return "", ctx.Err()
		}
	}
}

// chooseData looks at the disks. While some may yet appear, the one that this boot is from must be among them.
func (m *Machine) chooseData(early bool) (disk.Choice, error) {
	disks, err := disk.Scan("/sys/class/block", "/dev")
	if err != nil {
		return disk.Choice{}, err
	}
	w := disk.Wish{Data: m.config.Storage.Data, Wipe: m.config.Storage.Wipe, Install: m.config.Install != nil}
	if m.partition != "" {
		if w.Booted = disk.Booted("/sys/class/block", "/dev", m.partition); w.Booted == "" && early {
			return disk.Choice{}, fmt.Errorf("the disk that this boot is from has not appeared yet")
		}
	}
	return disk.Choose(w, disks)
}

func (m *Machine) useData(ctx context.Context, c disk.Choice) (string, error) {
	if c.Action == disk.RAM {
		path, err := m.zram()
		if err != nil {
			return "", err
		}
		c.Data = []string{path}
	}
	name := strings.Join(c.Data, ", ")
	if c.Action != disk.Mount {
		m.con.Line("formatting %s for DATA: %s", name, c.Reason)
		limited, cancel := context.WithTimeout(ctx, 2*time.Minute)
		defer cancel()
		if err := disk.Make(limited, m.procs.Output, c.Data...); err != nil {
			return "", err
		}
	}
	if c.Mirror.Alone { // before anything else is written: what the other disk has missed begins here
		if err := disk.WriteMirror(c.Mirror.Use[0].Disk, c.Mirror.Use[0].Note.GoneAlone()); err != nil {
			return "", err
		}
	}
	opened, note, err := m.openState(ctx, c.State)
	if err != nil {
		return m.lock(ctx, c.State[0], err)
	}
	c.State = opened
	for _, path := range append(slices.Clone(c.Data), c.State...) {
		healed, err := btrfs.Heal(path)
		if err != nil {
			m.con.Line("%v", err) // the mount says more
		}
		if healed {
			m.con.Line("the superblock of %s was written in part when the power went: it is whole again", path)
		}
	}
	if err := disk.MountData(c.Devices, boot.DataDir, boot.StateDir); err != nil {
		return "", err
	}
	if err := m.reset(ctx, c.Devices); err != nil {
		return "", err
	}
	m.data = &dataDisk{c.Data[0], c.Action}
	return fmt.Sprintf("%s: %s%s", name, c.Reason, note), nil
}

// zram makes a compressed RAM disk of as many bytes as there is memory: it takes what is written, compressed.
func (m *Machine) zram() (string, error) {
	total, err := m.memory()
	if err != nil {
		return "", err
	}
	return zram.New(total, total/2)
}

// memory is how many bytes of memory there are, for who makes disks of it.
func (m *Machine) memory() (int64, error) {
	if err := m.need("zram", "num_devices=0"); err != nil {
		return 0, err
	}
	return memTotal()
}

// Swap to compressed memory: a page that is not used takes a third of its room there, and comes back in microseconds.
const (
	swapPages   = "0"   // vm.page-cluster: what lies beside a page is not read with it, there is no head to move
	swapReadily = "100" // vm.swappiness: as readily as pages of files are dropped, which a disk must bring back
)

// stepSwap lets containers' memory be swapped out, each as far as its limits allow it.
func (m *Machine) stepSwap(context.Context) (string, error) {
	percent := m.config.Storage.SwapPercent(m.config.Role)
	switch {
	case percent == 0:
		return "none", nil
	case m.data != nil && m.data.action == disk.RAM:
		return "none: DATA is in memory", nil
	}
	total, err := m.memory()
	if err != nil {
		return "", err
	}
	size := total / 100 * int64(percent)
	device, err := zram.Swap(size, size/2)
	if err != nil {
		return "", err
	}
	err = errors.Join(os.WriteFile("/proc/sys/vm/page-cluster", []byte(swapPages), 0),
		os.WriteFile("/proc/sys/vm/swappiness", []byte(swapReadily), 0))
	return fmt.Sprintf("%s: %d MiB of compressed memory", device, size>>20), err
}

func memTotal() (int64, error) {
	raw, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return 0, fmt.Errorf("read memory size: %w", err)
	}
	return memTotalOf(string(raw))
}

func memTotalOf(text string) (int64, error) {
	for line := range strings.Lines(text) {
		if rest, ok := strings.CutPrefix(line, "MemTotal:"); ok {
			kib, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 10, 64)
			if err != nil {
				return 0, fmt.Errorf("read memory size: %v", err)
			}
			return kib << 10, nil
		}
	}
	return 0, fmt.Errorf("read memory size: no MemTotal")
}

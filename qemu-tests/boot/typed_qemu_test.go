//go:build qemu

package boot

import (
	"encoding/base64"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"hardnode.dev/internal/disk/bootorder"
	"hardnode.dev/internal/run"
	"hardnode.dev/internal/wire/slots"
	"hardnode.dev/qemu-tests/harness"
	"hardnode.dev/qemu-tests/terminal"
)

// TestTyped: a host is installed, given its configuration, brought from one system to the other and back, and made empty, with nothing but
// its serial port: no network leads to it, and no file is put into it.
func TestTyped(t *testing.T) {
	if os.Getenv("HARDNODE_SOAK") == "" {
		t.Skip("HARDNODE_SOAK is not set: a host is booted ten times; `make soak PKG=./qemu-tests/boot RUN=^TestTyped$` runs this")
	}
	dir := harness.Dir(t)
	medium := harness.Disk{Path: stick(t, dir, "")}
	target := harness.Disk{Path: filepath.Join(dir, "disk"), SizeMiB: installSize, Serial: "SYSTEM-1", Bus: harness.Virtio}
	holds(t, target.Path, installSize)
	c := machine(t, dir, "")
	c.Kernel, c.Initrd, c.UEFI, c.Timeout = "", nil, true, time.Hour*harness.Scale()
	c.Disks = []harness.Disk{medium, target}

	h := start(t, c)
	h.sees(`maintenance mode, code .*: no configuration found`)
	h.wakes(t, "waiting for a configuration")
	h.line(t).Rows([]terminal.Row{
		{"storage", "/dev/vdb", 0},
		{"network try up0 52:54:00:aa:00:01 10.77.0.98/24", "10.77.0.98/24", 0},
		{"network revert", "configured    no links", 0},
		{"slots", "this host is not installed", 0},
		{"install /dev/vda --wipe /dev/vda --dry-run", "error: ", 1}, // it was booted from that
		{"install /dev/vdb --dry-run", "ext2/3/4", 1},
		{"install /dev/vdb --wipe /dev/vdb --dry-run", "2. partition it: ESP 1024 MiB, STATE 512 MiB, DATA 2558 MiB", 0},
	})
	// On the page, the disk's name is typed.
	p := terminal.Serial(t, h.VM, patience())
	p.Opens()
	p.Steps([][2]string{{"3", "/dev/vdb"}, {"j", "> /dev/vdb"}, {"p", "2. partition it: ESP 1024 MiB"}, {"\r", "i: install"},
		{"i", "type its name:"}}...)
	p.Lines()
	p.Types("/dev/vdb\r")
	p.Sees("is lost       ext2/3/4", "\ndone")
	t.Logf("it installs:\n%s", p.Shows())
	h.off()
	installed(t, target.Path)

	c.Disks = []harness.Disk{target}
	for range bootorder.Alone { // it may wait for its configuration as often as it is switched on: it came up
		h = start(t, c)
		h.sees(`maintenance mode, code .*: no configuration found`)
		h.wakes(t, "waiting for a configuration")
		h.VM.Kill()
	}
	h = start(t, c)
	h.sees(`maintenance mode, code .*: no configuration found`)
	h.wakes(t, "waiting for a configuration")
	h.line(t).Rows([]terminal.Row{
		{"slots", "waits for its configuration", 0},
		{"slots copy", "error: ", 1},
		{"activate hnc1." + base64.RawURLEncoding.EncodeToString([]byte(config+consolePassword(t))), "kept: file ", 0},
	})
	h.up()
	h.line(t).Until("status", "host          host-1")
	h.line(t).Rows([]terminal.Row{
		{"slots try b\r" + knownPassword, "error: ", 1}, // it is empty
		{"slots copy a", "error: ", 1},                  // it is booted
		{"slots copy", "0.1.0-dev", 0},
		{"slots try b --reboot", "yes", 0},
	})
	h.sees(`reboot: `)
	h.off()

	h = start(t, c)
	h.sees(`step trial: slot b`)
	h.up()
	h.wakes(t, "host          host-1")
	h.booted(t, slots.B, slots.Trying) // nobody answers its reports here: it is never committed
	h.line(t).Rows([]terminal.Row{{"slots rollback --reboot\r" + knownPassword, "yes", 0}})
	h.off()

	h = start(t, c)
	h.up()
	h.wakes(t, "host          host-1")
	h.booted(t, slots.A, slots.Committed)
	p = terminal.Serial(t, h.VM, patience())
	p.Opens()
	p.Steps([][2]string{{"6", "committed"}, {"R", "because of"}}...)
	p.Types("a look at \"b\"\r")
	p.Sees("password")
	p.Lines()
	p.Types(knownPassword + "\r")
	h.off()

	h = start(t, c)
	h.sees(`step reason of boot: ordered reboot: a look at "b"`)
	h.up()
	h.reset(t)

	h = start(t, c)
	h.sees(`reset: DATA and STATE are made empty, as was ordered by terminal ttyS0`)
	h.off()

	h = start(t, c)
	h.sees(`maintenance mode, code .*: no configuration found`)
	h.wakes(t, "waiting for a configuration")
}

// booted waits until this boot's slot has a state.
func (h *host) booted(t *testing.T, name slots.Name, state slots.State) {
	t.Helper()
	ctx, cancel := h.limit()
	defer cancel()
	for {
		var st slots.Status
		terminal.Document(t, h.typed(t, "slots --json", 0), &st)
		if slices.ContainsFunc(st.Slots, func(s slots.Slot) bool { return s.Name == name && s.State == state && s.Booted }) {
			return
		}
		if !run.Wait(ctx, time.Second) {
			t.Fatalf("slot %s is not booted and %s: %+v", name, state, st)
		}
	}
}

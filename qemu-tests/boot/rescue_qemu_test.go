//go:build qemu

package boot

import (
	"crypto/sha256"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"hardnode.dev/internal/disk/bootorder"
	"hardnode.dev/internal/run"
	"hardnode.dev/internal/wire/slots"
	"hardnode.dev/qemu-tests/harness"
	"hardnode.dev/qemu-tests/terminal"
)

// TestRescue: an installed host neither of whose systems can be loaded comes up as its rescue system, at once and at each boot after, says
// why and what to do, stays up, and writes to neither STATE nor DATA. It puts itself into a slot, which is booted.
func TestRescue(t *testing.T) {
	if os.Getenv("HARDNODE_SOAK") == "" {
		t.Skip("HARDNODE_SOAK is not set: a host is booted six times; `make soak PKG=./qemu-tests/boot RUN=TestRescue` runs this")
	}
	dir := harness.Dir(t)
	c, h := fromDisk(t, dir)
	target := c.Disks[0]
	h.VM.Kill()
	damage(t, target.Path)
	before := behindESP(t, target.Path)

	h = start(t, c)
	h.sees(`"Hardnode" from HD\(1,GPT,`)
	h.sees(`"Hardnode, again" from HD\(1,GPT,`)
	h.sees(`"Hardnode, rescue" from HD\(1,GPT,`) // slot b has a boot left: it is the firmware that starts the rescue system
	h.rescued()
	// Longer than any watchdog's patience.
	run.Wait(t.Context(), 150*time.Second)
	if all := strings.Join(h.VM.Console.Lines(0), "\n"); strings.Count(all, "step mounts") != 1 || !h.VM.Running() {
		t.Errorf("it did not stay up:\n%s", h.VM.Console.Excerpt(40))
	}
	h.VM.Kill()

	h = start(t, c)
	h.sees(`"Hardnode, again" from HD\(1,GPT,`) // no slot has a boot left: the loader starts it
	h.rescued()
	h.VM.Kill()
	if behindESP(t, target.Path) != before {
		t.Error("the rescue system wrote to STATE or DATA")
	}

	h = start(t, c)
	h.rescued()
	h.wakes(t, "RESCUE SYSTEM")
	h.line(t).Rows([]terminal.Row{
		{"status", "slot a", 0},
		{"slots", "rescue", 0},
		{"storage", "/dev/vda", 0},
		{"network", "10.77.0.11/24", 0},
		{"log init --grep rescue", "this is the rescue system", 0},
		{"containers", "no containers", 0},
		{"support", "-----END SUPPORT BUNDLE-----", 0},
		{"network try up0 10.77.0.12/24\r" + knownPassword, "10.77.0.12/24", 0},
		{"network revert", "10.77.0.11/24", 0},
		{"container restart 101", "this is the rescue system", 1},
		{"reset --name host-1", "this is the rescue system", 1},
		{"install /dev/vda --dry-run", "error: ", 1}, // what it holds is named first
		{"slots copy a", "rescue", 0},
	})
	p := terminal.Serial(t, h.VM, patience())
	p.Opens()
	p.Sees("host-1: RESCUE SYSTEM")
	p.Steps([][2]string{{"3", "> /dev/vda"}, {"6", "rescue"}, {"t", "it counts from the next boot on"},
		{"\r", "t: boot the other once"}}...)
	t.Logf("the slots:\n%s", p.Shows())
	p.Leaves()
	h.counted(target.Path, "hardnode-1-a+1.conf", "hardnode-2-b+0-2.conf", "hardnode-3-rescue.conf")
	h.VM.Kill()
	h = start(t, c)
	h.sees(`step trial: slot a`)
	h.up()
}

// rescued waits until the rescue system has come up.
func (h *host) rescued() {
	h.T.Helper()
	h.sees(`step firmware: UEFI, booted from partition \S+: this is the rescue system`)
	h.sees(`step data: /dev/zram0: the rescue system touches no disk`)
	h.sees(`RESCUE SYSTEM: slot a \(\S+\) did not come up; slot b \(\S+\) did not come up\. What to do: write this system into one`)
	h.sees(`\[host-1\] RESCUE SYSTEM`)
	h.sees(`! rescue system: slot a .* -> write this system into one \(slots copy a\), boot one once more \(slots try a\), or install again from a medium$`)
	h.up()
}

// damage makes neither slot's file one that can be loaded. Slot b counts as good, and has two boots.
func damage(t *testing.T, path string) {
	t.Helper()
	fs := espOf(t, path)
	for _, slot := range []slots.Name{slots.A, slots.B} {
		put(t, fs, "/"+bootorder.File(slot), make([]byte, 1<<20))
	}
	// As the agent leaves them where both slots are good.
	a, alone := bootorder.Entry{Slot: slots.A, Rank: 1, Version: "0.1.0-dev", Left: 1}, "/"+entries+"/hardnode-1-a+3.conf"
	b := bootorder.Entry{Slot: slots.B, Rank: 2, Version: "0", Left: 2}
	for _, e := range []bootorder.Entry{a, b} {
		put(t, fs, "/"+entries+"/"+e.Name(), []byte(e.Text()))
	}
	if err := fs.Remove(alone); err != nil {
		t.Fatal(err)
	}
}

// behindESP is the digest of all that lies behind the ESP.
func behindESP(t *testing.T, path string) [32]byte {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.Seek(1<<30+1<<20, io.SeekStart); err != nil {
		t.Fatal(err)
	}
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		t.Fatal(err)
	}
	return [32]byte(h.Sum(nil))
}

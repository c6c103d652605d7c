//go:build qemu

package boot

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/diskfs/go-diskfs/filesystem/fat32"

	"hardnode.dev/image/uki"
	"hardnode.dev/internal/disk/bootorder"
	"hardnode.dev/internal/run"
	"hardnode.dev/internal/wire/slots"
	"hardnode.dev/qemu-tests/harness"
	"hardnode.dev/qemu-tests/harness/ask"
)

// class is one way in which a system fails that is tried.
type class struct {
	name  string
	args  string              // further arguments of its kernel
	spoil func([]byte) []byte // what is in its slot
	fault func(*host)         // what befalls it while it runs
	// cause is what the next boot says of its own reason, failed what is said of the slot (patterns).
	cause, failed string
	most          time.Duration // until the host is back, from the fault on or else from the start of the bad boot; 0: no bar
}

// gone is what is said of a slot that ended before it could say anything itself.
const gone = "the boot loader could not start it, or it ended before it was well"

// notWell is what the agent itself says of it.
const notWell = "not well within 1m0s: .*the orchestrator has not answered a report; gossip is not up.*"

// toSlotB is the reason of the bad boot, and of the one after when the bad one never ran.
const toSlotB = "ordered reboot: slot b is to be booted"

var classes = []class{
	{name: "unloadable UKI", spoil: func(b []byte) []byte { return b[:4<<20] }, failed: gone, cause: toSlotB},
	{name: "corrupt kernel", spoil: noise(uki.Kernel), failed: gone, cause: toSlotB},
	{name: "corrupt root", spoil: noise(uki.Initrd), failed: gone, cause: `.`},
	{name: "early panic", args: "rdinit=/none", failed: gone, cause: `.`},
	{name: "hang after the watchdog was opened", fault: hang, failed: gone, cause: `watchdog: `, most: 90 * time.Second},
	{name: "PID 1 crash", fault: crash, failed: gone, cause: `panic: Attempted to kill init!`},
	{name: "agent never ready", fault: stopAgent, cause: `ordered reboot: slot b: its agent did not say within 1m0s that it is well`,
		failed: gone + "|" + notWell}, // started once more when the host is left, it may judge then
	{name: "no network", failed: notWell,
		cause: `ordered reboot: slot b was not well within 1m0s: `},
}

// TestFailureClasses: whatever a system dies of that is tried, the host comes back in the one before it, by itself, and says why.
func TestFailureClasses(t *testing.T) {
	if os.Getenv("HARDNODE_SOAK") == "" {
		t.Skip("HARDNODE_SOAK is not set: a host is booted twice a class; `make soak PKG=./qemu-tests/boot RUN=TestFailureClasses` " +
			"does that")
	}
	dir := harness.Dir(t)
	base, good := onTrial(t, dir)
	table := []string{"failure class | back in slot | after | next boot's reason | reason of the slot"}
	for _, c := range classes {
		t.Run(c.name, func(t *testing.T) {
			dir := harness.Dir(t)
			for _, f := range []string{"disk", "host-1.vars"} {
				if out, err := exec.Command("cp", "--sparse=always", filepath.Join(base.Dir, f), dir).CombinedOutput(); err != nil {
					t.Fatalf("%v: %s", err, out)
				}
			}
			conf := base
			conf.Dir, conf.Reboot, conf.Crash = dir, true, true
			conf.Disks = []harness.Disk{base.Disks[0]}
			conf.Disks[0].Path = filepath.Join(dir, "disk")
			bad := good
			if c.args != "" {
				bad = altered(t, bad, c.args, nil)
			}
			if c.spoil != nil {
				bad = c.spoil(bytes.Clone(bad))
			}
			inSlot(t, conf.Disks[0].Path, slots.B, bad)

			began := time.Now()
			h := start(t, conf)
			defer h.VM.Kill()
			if c.fault != nil {
				h.sees(`step trial: slot b is tried`)
				c.fault(h)
				began = time.Now()
			}
			reason := h.sees(`step reason of boot: (` + c.cause + `.*)`)[1]
			if strings.HasPrefix(reason, toSlotB) && c.cause != toSlotB {
				reason = h.sees(`step reason of boot: (` + c.cause + `.*)`)[1] // the first was that of the bad boot
			}
			h.sees(`step trial: slot a \(`)
			h.up()
			after := time.Since(began)
			failed := h.judged(t, slots.B)
			table = append(table, fmt.Sprintf("%s | a | %.1f s | %s | %s", c.name, after.Seconds(), reason, failed))
			if !regexp.MustCompile("^(" + c.failed + ")$").MatchString(failed) {
				t.Errorf("of slot b is said %q, want %q", failed, c.failed)
			}
			if c.most > 0 && after > c.most {
				t.Errorf("back after %s, want %s at most", after, c.most)
			}
			h.mark = h.VM.Console.Mark()
			if err := h.VM.Console.Type("\r"); err != nil {
				t.Fatal(err)
			}
			if all := strings.Join(h.typed(t, "slots", 0), "\n"); !strings.Contains(all, failed) {
				t.Errorf("the terminal does not say why:\n%s", all)
			}
		})
	}
	for _, line := range table {
		t.Log("figure: " + line)
	}
}

// onTrial is an installed host whose slot b is booted next, on trial for a minute, and the system that is in both of its slots: one with a
// probe.
func onTrial(t *testing.T, dir string) (harness.Config, []byte) {
	t.Helper()
	c, h := fromDisk(t, dir)
	target := c.Disks[0]
	h.mark = h.VM.Console.Mark()
	if err := h.VM.Console.Type("\r"); err != nil {
		t.Fatal(err)
	}
	h.sees(`^hardnode console on ttyS0; type help`)
	h.typed(t, "slots copy b\r"+knownPassword, 0)
	h.typed(t, "slots try b --within 60 --reboot", 0)
	h.off()

	root, err := harness.Root()
	if err != nil {
		t.Fatal(err)
	}
	shipped, err := os.ReadFile(filepath.Join(root, "out/image/host.efi"))
	if err != nil {
		t.Fatal(err)
	}
	probe := harness.Config{}
	if err := harness.AddProbe(t.Context(), &probe, dir); err != nil {
		t.Fatal(err)
	}
	part, err := os.ReadFile(probe.Initrd[0])
	if err != nil {
		t.Fatal(err)
	}
	good := altered(t, shipped, probe.Append, part)
	inSlot(t, target.Path, slots.A, good)
	return c, good
}

// altered is a system with further arguments of its kernel and a further part of its initramfs.
func altered(t *testing.T, system []byte, args string, part []byte) []byte {
	t.Helper()
	have, err := uki.Sections(system)
	if err != nil {
		t.Fatal(err)
	}
	var want []uki.Section
	for _, s := range have {
		switch s.Name {
		case uki.Arguments:
			s.Data = []byte(string(s.Data) + " " + strings.TrimSpace(args))
		case uki.Initrd:
			s.Data = append(bytes.Clone(s.Data), make([]byte, -len(s.Data)&3)...)
			s.Data = append(s.Data, part...)
		case uki.Release, uki.Uname, uki.Kernel:
		default:
			continue // the stub's own
		}
		want = append(want, s)
	}
	out, err := uki.Build(stub(t), want...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// stub is what systems are built on.
func stub(t *testing.T) []byte {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(build(t), "out/cache/unpacked/systemd-boot-efi/usr/lib/systemd/boot/efi/linuxx64.efi.stub"))
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// noise turns the middle of a section into nonsense, as a disk does that fails.
func noise(section string) func([]byte) []byte {
	return func(system []byte) []byte {
		list, err := uki.Sections(system)
		if err != nil {
			panic("BUG: " + err.Error())
		}
		for _, s := range list {
			if s.Name == section { // its data lies in the file
				for i := len(s.Data) / 4; i < len(s.Data)*3/4; i++ {
					s.Data[i] ^= byte(i*7 + i>>8)
				}
			}
		}
		return system
	}
}

// inSlot puts a system into a slot, from outside.
func inSlot(t *testing.T, path string, slot slots.Name, system []byte) {
	t.Helper()
	fs := espOf(t, path)
	replace(t, fs, "/"+bootorder.File(slot), system)
}

// replace makes a file anew.
func replace(t *testing.T, fs *fat32.FileSystem, name string, data []byte) {
	t.Helper()
	if err := fs.Remove(name); err != nil {
		t.Fatal(err)
	}
	put(t, fs, name, data)
}

// judged waits until the host says of a slot that it failed, and returns why.
func (h *host) judged(t *testing.T, slot slots.Name) string {
	t.Helper()
	ctx, cancel := h.limit()
	defer cancel()
	var text string
	for {
		text = h.text("/state/slots.json")
		var doc struct{ Body bootorder.Record }
		if err := json.Unmarshal([]byte(text), &doc); err == nil {
			for _, k := range doc.Body.Known {
				if k.Slot == slot && k.State == slots.Failed && doc.Body.Trial == nil && doc.Body.Committed == slot.Other() {
					return k.Reason
				}
			}
		}
		if !run.Wait(ctx, time.Second) {
			t.Errorf("slot %s did not fail: %s", slot, text)
			return ""
		}
	}
}

// hang has all programs stand still, once PID 1 feeds the watchdog.
func hang(h *host) {
	h.sees(`step watchdog: `)
	h.up()
	for _, who := range []string{"system", "init"} {
		h.writes("/sys/fs/cgroup/"+who+"/cgroup.freeze", "1")
	}
}

// crash ends PID 1.
func crash(h *host) {
	h.up()
	if _, err := h.VM.Ask(h.T.Context(), ask.Request{What: "crash"}); err != nil {
		h.T.Logf("crash: %v", err)
	}
}

// stopAgent has the agent stand still as soon as it is started.
func stopAgent(h *host) {
	ctx, cancel := h.limit()
	defer cancel()
	for run.Wait(ctx, 50*time.Millisecond) {
		if _, err := h.VM.Ask(ctx, ask.Request{What: "kill", Path: "/usr/lib/hardnode/agent", Signal: int(syscall.SIGSTOP)}); err == nil {
			return
		}
	}
	h.T.Fatal("there is no agent")
}

//go:build qemu

package boot

import (
	"context"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"hardnode.dev/qemu-tests/harness"
	"hardnode.dev/qemu-tests/harness/ask"
	"hardnode.dev/qemu-tests/terminal"
)

// TestReasons: whatever ended a host, the next boot names it: a panic, a watchdog, the power; with the firmware that keeps the kernel's
// last words, and with the memory that keeps them elsewhere.
func TestReasons(t *testing.T) {
	if os.Getenv("HARDNODE_SOAK") == "" {
		t.Skip("HARDNODE_SOAK is not set: a host is ended seven times; `make soak PKG=./qemu-tests/boot RUN=TestReasons` runs this")
	}
	card := []string{"-device", "i6300esb"}
	for _, c := range []struct {
		name    string
		uefi    bool
		extra   []string // a watchdog card; none: the kernel's own watchdog
		keeper  string
		watches string // the evidence of the watchdog
	}{
		{"bios", false, card, "ramoops", `watchdog i6300ESB timer says that it reset the machine`},
		{"uefi", true, nil, "efi_pstore",
			`it was the software watchdog's: Software Watchdog Timer expired`},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := harness.Dir(t)
			conf := machine(t, dir, config+consolePassword(t, "ttyS0", "tty1", "hvc0"))
			conf.UEFI, conf.Extra, conf.Reboot, conf.Crash, conf.Timeout = c.uefi, c.extra, true, true, 2*time.Hour
			withTerminals(&conf)
			if err := harness.AddProbe(t.Context(), &conf, dir); err != nil {
				t.Fatal(err)
			}
			h := start(t, conf)
			h.sees(`step last words: by ` + c.keeper)
			h.sees(`step reason of boot: first`)
			h.up()

			t.Run("panic", func(*testing.T) {
				wire := h.paged(t)
				h.next(func() {
					h.writes("/proc/sys/kernel/sysrq", "1")
					h.writes("/proc/sysrq-trigger", "c")
					h.sees(`Kernel panic - not syncing: sysrq triggered crash`) // over the page
					wire.Close()
				}, `step reason of boot: panic: sysrq triggered crash - the kernel's last words, kept by `+c.keeper)
				if text := h.text("/state/crash.txt"); !strings.Contains(text, "sysrq triggered crash") || len(text) > 16<<10 {
					t.Errorf("what the kernel said last: %d bytes, %.300q", len(text), text)
				}
				if a, err := h.VM.Ask(t.Context(), ask.Request{What: "list", Path: "/sys/fs/pstore"}); err != nil || len(a.Names) > 0 {
					t.Errorf("left in the firmware: %q, %v", a.Names, err)
				}
				if text := h.text("/run/hardnode/boots.json"); !strings.Contains(text, `"cause":"panic"`) ||
					!strings.Contains(text, `"first"`) {
					t.Errorf("boots.json: %s", text)
				}
			})
			t.Run("watchdog", func(*testing.T) {
				// Every service stands still, and what init starts in their place too: init itself waits for it.
				h.next(func() { h.writes("/sys/fs/cgroup/system/cgroup.freeze", "1") },
					`step reason of boot: watchdog: (service \w+ was away|the machine hung)`)
				h.sees(c.watches)
			})
			t.Run("power cut", func(*testing.T) {
				h.VM.Kill()
				h = start(t, conf)
				h.sees(`step reason of boot: power-loss: the power went, or the machine was reset from outside - it was not left in order`)
				h.up()
			})
		})
	}
}

// paged opens the pages at three terminals: the kernel's lesser messages stay off them from then on. It returns the far end of one.
func (h *host) paged(t *testing.T) net.Conn {
	end := h.wire(t)
	wire := terminal.Wire(t, end, patience())
	screen := terminal.Screen(t, h.VM, patience())
	screen.Steps([2]string{"\n", "hardnode console on tty1"})
	screen.Opens()
	wire.Opens()
	serial := terminal.Serial(t, h.VM, patience())
	serial.Opens()
	h.VM.Console.Tap(nil) // what the kernel writes over the page has tabs, and is no page
	return end
}

// next ends this boot by what do does, and waits for the next one, whose console has the pattern.
func (h *host) next(do func(), pattern string) {
	h.T.Helper()
	h.mark = h.VM.Console.Mark()
	do()
	ctx, cancel := context.WithTimeout(h.T.Context(), 10*time.Minute*harness.Scale())
	defer cancel()
	if _, err := h.VM.WaitAfter(ctx, h.mark, pattern); err != nil {
		h.T.Fatal(err)
	}
	h.up()
}

// writes writes a file of the host. What is written may end the host before it answers: what is waited for then tells.
func (h *host) writes(path, text string) {
	ctx, cancel := context.WithTimeout(h.T.Context(), 10*time.Second*harness.Scale())
	defer cancel()
	if _, err := h.VM.Ask(ctx, ask.Request{What: "write", Path: path, Text: text}); err != nil {
		h.T.Logf("write %s: %v", path, err)
	}
}

func (h *host) text(path string) string {
	h.T.Helper()
	a, err := h.VM.Ask(h.T.Context(), ask.Request{What: "read", Path: path})
	if err != nil {
		h.T.Error(err)
	}
	return a.Text
}

package machine

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"hardnode.dev/init/reason"
	"hardnode.dev/internal/run"
)

const (
	dogDevice = "/dev/watchdog"
	// dogTimeout is how long it may go unfed before the machine is reset. With the firmware, the kernel's own ten seconds after a panic and
	// the boot, a host that hung is back within 90 seconds.
	dogTimeout = 40 * time.Second
	dogFeed    = 5 * time.Second
)

// watchdog is the open device: hardware, or the kernel's timer where there is none.
type watchdog struct{ file *os.File }

func (m *Machine) stepWatchdog(context.Context) (string, error) {
	kind, tells := "hardware", false
	if _, err := os.Stat(dogDevice); err != nil {
		kind, tells = reason.Softdog, true
		// It makes the kernel panic, which is kept, rather than reset the machine, which nothing tells from others.
		if err := m.need("softdog", fmt.Sprintf("soft_margin=%d soft_panic=1", dogTimeout/time.Second)); err != nil {
			return "", err
		}
	}
	f, err := os.OpenFile(dogDevice, os.O_WRONLY, 0)
	if err != nil {
		return "", fmt.Errorf("open the watchdog: %w", err)
	}
	m.dog = &watchdog{f}
	set := int(dogTimeout / time.Second)
	if err := unix.IoctlSetPointerInt(int(f.Fd()), unix.WDIOC_SETTIMEOUT, set); err != nil {
		m.con.Log(fmt.Sprintf("watchdog keeps its own timeout: %v", err))
	}
	if name, _ := watchdogState(dogState); kind != reason.Softdog && name != "" {
		kind, tells = name, telling(name, dogState)
	}
	if err := m.life.note(func(l *reason.Life) { l.Dog = &reason.Dog{Name: kind, Tells: tells} }); err != nil {
		m.con.Line("%v", err)
	}
	m.tasks <- run.Task{Name: "watchdog", Run: m.feed}
	return fmt.Sprintf("%s, %d s", kind, set), nil
}

// feed feeds while the services are healthy. It does not close the device: a machine that is being left is still watched.
func (m *Machine) feed(ctx context.Context) error {
	starved := ""
	return run.Every(ctx, dogFeed, func(context.Context) error {
		ok, who := m.sup.Healthy(time.Now())
		if !ok && !m.rescue {
			if who != starved {
				m.con.Alert(fmt.Sprintf("watchdog is no longer fed: service %s is away; reset in %s", who, dogTimeout))
				m.tasks <- m.starves(&reason.Hunger{Who: who, At: time.Now().Unix()})
			}
			starved = who
			return nil
		}
		if starved != "" {
			m.tasks <- m.starves(nil)
		}
		starved = ""
		return m.dog.pat()
	})
}

// starves is the task that keeps on the disk, which may not answer, that the watchdog is not fed, or is again.
func (m *Machine) starves(h *reason.Hunger) run.Task {
	return run.Task{Name: "note the watchdog", Run: func(context.Context) error {
		return m.life.note(func(l *reason.Life) { l.Starving = h })
	}}
}

// dogState is what the kernel says of the first watchdog (Documentation/ABI/testing/sysfs-class-watchdog).
const dogState = "/sys/class/watchdog/watchdog0"

// cardReset is WDIOF_CARDRESET (linux/watchdog.h): the watchdog reset the machine; among its options, that it tells so.
const cardReset = 0x20

// tellers are the watchdogs that tell so, though their options don't say it, by the identity their drivers give.
var tellers = []string{"i6300ESB timer", "SP5100 TCO timer", "wdat_wdt"}

// watchdogState is the identity of a watchdog, "" if there is none, and whether it says that it reset the machine before this boot.
func watchdogState(dir string) (name string, reset bool) {
	raw, err := os.ReadFile(filepath.Join(dir, "identity"))
	if err != nil {
		return "", false
	}
	return oneWord(raw), number(filepath.Join(dir, "bootstatus"))&cardReset != 0
}

func telling(name, dir string) bool {
	return slices.Contains(tellers, name) || number(filepath.Join(dir, "options"))&cardReset != 0
}

// number is the number in a file, 0 if there is none.
func number(path string) uint64 {
	raw, err := os.ReadFile(path)
	if err != nil {
		return 0
	}
	n, err := strconv.ParseUint(oneWord(raw), 0, 64)
	if err != nil {
		return 0
	}
	return n
}

// oneWord is the text of a file of one line.
func oneWord(raw []byte) string { return strings.TrimSpace(string(raw)) }

func (w *watchdog) pat() error {
	if _, err := w.file.Write([]byte{0}); err != nil {
		return fmt.Errorf("feed the watchdog: %w", err)
	}
	return nil
}

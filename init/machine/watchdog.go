package machine

import (
	"context"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"hardnode.dev/internal/run"
)

const (
	dogDevice  = "/dev/watchdog"
	dogTimeout = 60 * time.Second // the machine is reset when it was not fed for so long
	dogFeed    = 5 * time.Second
)

// watchdog is the open device: hardware, or the kernel's timer where there is none.
type watchdog struct{ file *os.File }

func (m *Machine) stepWatchdog(context.Context) (string, error) {
	kind := "hardware"
	if _, err := os.Stat(dogDevice); err != nil {
		kind = "softdog"
		if err := m.need("softdog", "soft_margin=60"); err != nil {
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
	m.tasks <- run.Task{Name: "watchdog", Run: m.feed}
	return fmt.Sprintf("%s, %d s", kind, set), nil
}

// feed feeds while the services are healthy. It does not close the device: a machine that is being left is still watched.
func (m *Machine) feed(ctx context.Context) error {
	starved := ""
	return run.Every(ctx, dogFeed, func(context.Context) error {
		ok, who := m.sup.Healthy(time.Now())
		if !ok {
			if who != starved {
				m.con.Alert(fmt.Sprintf("watchdog is no longer fed: service %s is away; reset in %s", who, dogTimeout))
			}
			starved = who
			return nil
		}
		starved = ""
		return m.dog.pat()
	})
}

func (w *watchdog) pat() error {
	if _, err := w.file.Write([]byte{0}); err != nil {
		return fmt.Errorf("feed the watchdog: %w", err)
	}
	return nil
}

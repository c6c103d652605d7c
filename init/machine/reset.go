package machine

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"hardnode.dev/init/sys"
	"hardnode.dev/internal/disk"
	"hardnode.dev/internal/keep"
	"hardnode.dev/internal/wire/boot"
)

// reset makes DATA and STATE empty if somebody wished for that before the boot (boot.ResetFile). Both are mounted, before and after. An
// installed host then forgets the configuration that this boot goes by, and boots anew. Cut off anywhere, it is done by the next boot: the
// wish goes last, or with the filesystem that holds it.
func (m *Machine) reset(ctx context.Context, d disk.Devices) error {
	raw, err := os.ReadFile(boot.ResetFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read whether this host is to be reset: %w", err)
	}
	by := strings.TrimSpace(string(raw))
	m.con.Line("reset: DATA and STATE are made empty, as was ordered by %s", by)
	if len(d.State) > 0 {
		if err := empty(boot.StateDir); err != nil {
			return err
		}
	}
	for _, at := range []string{boot.StateDir, boot.DataDir} {
		if err := sys.Unmount(at, false); err != nil {
			return fmt.Errorf("reset: %w", err)
		}
	}
	limited, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	if err := disk.Make(limited, m.procs.Output, d.Data...); err != nil {
		return fmt.Errorf("reset: %w", err)
	}
	if err := disk.MountData(d, boot.DataDir, boot.StateDir); err != nil {
		return fmt.Errorf("reset: %w", err)
	}
	if len(d.State) > 0 { // the agent has what is on an ESP in its hands
		if _, err := m.procs.Output(limited, programs+"agent", "-forget"); err != nil {
			return fmt.Errorf("reset: %w", err)
		}
	}
	if err := os.Remove(boot.ResetFile); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("reset: %w", err)
	}
	if err := keep.SyncDir(boot.StateDir); err != nil || len(d.State) == 0 {
		return err
	}
	m.Ask(Leave{By: by, Reason: "reset: the configuration is forgotten"})
	<-ctx.Done()
	return ctx.Err()
}

// empty removes all in STATE but the wish, and what is known of the systems on the disk: those stay.
func empty(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("reset: %w", err)
	}
	for _, e := range entries {
		if e.Name() == filepath.Base(boot.ResetFile) || e.Name() == filepath.Base(boot.SlotsFile) {
			continue
		}
		if err := os.RemoveAll(filepath.Join(dir, e.Name())); err != nil {
			return fmt.Errorf("reset: %w", err)
		}
	}
	return keep.SyncDir(dir)
}

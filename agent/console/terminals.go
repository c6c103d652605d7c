package main

import (
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"hardnode.dev/internal/logging"
)

// terminals are the open terminals.
type terminals struct {
	log  *slog.Logger
	dir  string // "" is /dev
	open map[string]*os.File
	said map[string]bool // reported as absent
}

// patience is how long a terminal may take for one status; a serial line without a reader is given up until the next one.
const patience = time.Second

// use makes the open terminals those named; absent ones are tried again with each status.
func (t *terminals) use(names []string) {
	if t.open == nil {
		t.open, t.said = map[string]*os.File{}, map[string]bool{}
	}
	for name, f := range t.open {
		if !slices.Contains(names, name) {
			f.Close()
			delete(t.open, name)
		}
	}
	dir := t.dir
	if dir == "" {
		dir = "/dev"
	}
	for _, name := range names {
		if t.open[name] != nil {
			continue
		}
		// Opening without O_NONBLOCK could wait for a carrier for ever.
		f, err := os.OpenFile(filepath.Join(dir, filepath.Base(name)), os.O_WRONLY|unix.O_NOCTTY|unix.O_NONBLOCK, 0)
		if err != nil {
			if !t.said[name] {
				t.log.Info("terminal is absent", "tty", name, logging.Reason, err)
				t.said[name] = true
			}
			continue
		}
		t.open[name] = f
	}
}

// write shows text on every open terminal; one that does not take it in time, or is gone, is closed.
func (t *terminals) write(text string) {
	for name, f := range t.open {
		if err := f.SetWriteDeadline(time.Now().Add(patience)); err != nil {
			t.log.Debug("terminal has no deadlines", "tty", name, logging.Err, err)
		}
		if _, err := f.WriteString(text); err != nil {
			f.Close()
			delete(t.open, name)
		}
	}
}

func (t *terminals) close() {
	for _, f := range t.open {
		f.Close()
	}
}

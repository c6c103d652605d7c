package main

import (
	"cmp"
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"hardnode.dev/internal/logging"
)

// terminals are the open terminals.
type terminals struct {
	log  *slog.Logger
	host asked
	dir  string        // "" is /dev
	wait time.Duration // 0 is patience

	open map[string]*terminal
	said map[string]bool // reported as absent
	all  sync.WaitGroup
}

// use makes the open terminals those named; absent ones, and those that were given up, are tried again with each status. Conversations last
// until ctx ends.
func (t *terminals) use(ctx context.Context, names []string) {
	if t.open == nil {
		t.open, t.said = map[string]*terminal{}, map[string]bool{}
	}
	for name, x := range t.open {
		if !slices.Contains(names, name) || x.gone() {
			x.end()
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
		f, err := os.OpenFile(filepath.Join(dir, filepath.Base(name)), os.O_RDWR|unix.O_NOCTTY|unix.O_NONBLOCK, 0)
		if err == nil {
			err = raw(f)
		}
		if err != nil {
			if f != nil {
				f.Close()
			}
			if !t.said[name] {
				t.log.Info("terminal is absent", "tty", name, logging.Reason, err)
				t.said[name] = true
			}
			continue
		}
		x := newTerminal(name, f, t.host, cmp.Or(t.wait, patience))
		t.open[name] = x
		t.all.Go(func() { x.talk(ctx) })
	}
}

// write shows a status on every open terminal. It does not wait for any.
func (t *terminals) write(text string) {
	for _, x := range t.open {
		x.show(text)
	}
}

func (t *terminals) close() {
	for _, x := range t.open {
		x.end()
	}
	t.all.Wait()
}

// raw makes a terminal give each byte as it is typed and echo none; what is written still gets its carriage returns, init's lines too.
func raw(f *os.File) error {
	c, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var set error
	err = c.Control(func(fd uintptr) {
		var t *unix.Termios
		if t, set = unix.IoctlGetTermios(int(fd), unix.TCGETS); set != nil {
			return
		}
		t.Iflag &^= unix.IGNBRK | unix.BRKINT | unix.PARMRK | unix.ISTRIP | unix.INLCR | unix.IGNCR | unix.ICRNL | unix.IXON | unix.IXOFF
		t.Lflag &^= unix.ECHO | unix.ECHONL | unix.ICANON | unix.ISIG | unix.IEXTEN
		t.Oflag |= unix.OPOST | unix.ONLCR
		t.Cflag |= unix.CREAD | unix.CLOCAL
		t.Cc[unix.VMIN], t.Cc[unix.VTIME] = 1, 0
		set = unix.IoctlSetTermios(int(fd), unix.TCSETS, t)
	})
	if err != nil {
		return err
	}
	return set
}

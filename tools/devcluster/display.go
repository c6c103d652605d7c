package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"hardnode.dev/qemu-tests/cluster"
)

// display shows phases as they go: on a terminal the running ones in a block at the bottom, else plain lines.
type display struct {
	out      io.Writer
	terminal bool
	width    int
	stop     func()

	show struct {
		sync.Mutex
		running []*phase
		drawn   int // lines of the block on the screen
	}
}

type phase struct {
	name, detail string
	begin        time.Time
}

func newDisplay(f *os.File) *display {
	d := &display{out: f, stop: func() {}}
	size, err := unix.IoctlGetWinsize(int(f.Fd()), unix.TIOCGWINSZ)
	if err != nil || size.Col < 40 || os.Getenv("TERM") == "dumb" {
		return d
	}
	d.terminal, d.width = true, int(size.Col)
	quit, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		t := time.NewTicker(200 * time.Millisecond)
		defer t.Stop()
		for {
			select {
			case <-t.C:
				d.show.Lock()
				d.draw("")
				d.show.Unlock()
			case <-quit:
				return
			}
		}
	}()
	d.stop = sync.OnceFunc(func() { close(quit); <-done })
	return d
}

// close removes the block and ends the redrawing.
func (d *display) close() {
	d.stop()
	d.show.Lock()
	defer d.show.Unlock()
	d.show.running = nil
	if d.terminal {
		d.draw("")
	}
}

// progress takes one change; it may be called from any goroutine.
func (d *display) progress(p cluster.Progress) {
	d.show.Lock()
	defer d.show.Unlock()
	at := -1
	for i, r := range d.show.running {
		if r.name == p.Phase {
			at = i
		}
	}
	switch {
	case p.Done:
		if at >= 0 {
			d.show.running = append(d.show.running[:at], d.show.running[at+1:]...)
		}
		d.line(ended(p))
	case at < 0:
		d.show.running = append(d.show.running, &phase{name: p.Phase, begin: time.Now(), detail: p.Detail})
		if !d.terminal {
			d.line(fmt.Sprintf("         %s …", p.Phase))
		}
	default:
		d.show.running[at].detail = p.Detail
		if !d.terminal {
			d.line(fmt.Sprintf("         %s: %s", p.Phase, p.Detail))
		}
	}
	if d.terminal {
		d.draw("")
	}
}

// say prints a line above the running phases.
func (d *display) say(text string) {
	d.show.Lock()
	defer d.show.Unlock()
	d.line(text)
}

func (d *display) line(text string) {
	if d.terminal {
		d.draw(text)
		return
	}
	fmt.Fprintln(d.out, text)
}

// draw puts text, if any, above the block of running phases and draws the block anew; the lock is held.
func (d *display) draw(text string) {
	if text == "" && d.show.drawn == 0 && len(d.show.running) == 0 {
		return
	}
	var b strings.Builder
	if d.show.drawn > 0 {
		fmt.Fprintf(&b, "\x1b[%dA", d.show.drawn)
	}
	b.WriteString("\r\x1b[J")
	if text != "" {
		b.WriteString(text + "\n")
	}
	for _, r := range d.show.running {
		b.WriteString(clip(fmt.Sprintf("%6.1f s  %s … %s", time.Since(r.begin).Seconds(), r.name, r.detail), d.width-1) + "\n")
	}
	d.show.drawn = len(d.show.running)
	io.WriteString(d.out, b.String())
}

// ended is the line of a finished phase.
func ended(p cluster.Progress) string {
	mark := "✓"
	if p.Err != nil {
		mark = "✗"
	}
	return fmt.Sprintf("%6.1f s %s %s", p.Took.Seconds(), mark, p.Phase)
}

// clip cuts s to n characters.
func clip(s string, n int) string {
	r := []rune(s)
	if len(r) <= n {
		return s
	}
	return string(r[:max(n-1, 0)]) + "…"
}

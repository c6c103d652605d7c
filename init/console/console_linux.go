// Package console puts init's lines before people: on every terminal that is there, and into the kernel's log.
//
// Owns: the list of terminals, /dev/kmsg, and the form of a line.
// In: lines.
// Out: the same lines with their time, those that repeat counted; an absent or stuck terminal costs nothing but its own lines.
// Never: reads a terminal (agent/console does), or waits for one.
package console

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"hardnode.dev/internal/logging/plain"
	"hardnode.dev/internal/run"
	"hardnode.dev/internal/wallclock"
)

// Console writes lines. Its zero value writes nowhere until Kmsg and Use are called.
type Console struct {
	Uptime func() time.Duration
	Known  func() bool // whether the wall clock can be believed; nil: it can't
	mu     struct {
		sync.Mutex
		kmsg    *os.File
		ttys    []tty
		repeats map[string]*Repeats // by source; a source is a service, so there are few
		quiet   map[string]int      // by terminal: how many want no lines there now
	}
}

type tty struct {
	name string
	fd   int
}

// stuck is how long one line may wait for a terminal that takes no characters.
const stuck = 100 * time.Millisecond

// Kmsg opens the kernel's log.
func (c *Console) Kmsg(path string) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return fmt.Errorf("open the kernel log: %w", err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.mu.kmsg = f
	return nil
}

// Active reads /sys/class/tty/console/active: the kernel's consoles, "tty0 ttyS0". tty0 means the terminal in front: tty1.
func Active(text string) []string {
	names := strings.Fields(text)
	for i, n := range names {
		if n == "tty0" {
			names[i] = "tty1"
		}
	}
	return names
}

// Use opens the terminals of these names in dev and returns the names that are not there. It replaces those used before.
func (c *Console) Use(dev string, names []string) (absent []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	var ttys []tty
	for _, name := range names {
		i := slices.IndexFunc(c.mu.ttys, func(t tty) bool { return t.name == name })
		if i >= 0 {
			ttys = append(ttys, c.mu.ttys[i])
			continue
		}
		// Without O_NONBLOCK a serial line without carrier would hang the open, and a stopped one the boot.
		fd, err := unix.Open(filepath.Join(dev, filepath.Base(name)), unix.O_WRONLY|unix.O_NONBLOCK|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
		if err != nil {
			absent = append(absent, name)
			continue
		}
		if _, err := unix.IoctlGetTermios(fd, unix.TCGETS); err != nil { // a serial port without hardware opens, and is none
			unix.Close(fd)
			absent = append(absent, name)
			continue
		}
		ttys = append(ttys, tty{name, fd})
	}
	for _, old := range c.mu.ttys {
		if !slices.Contains(ttys, old) {
			unix.Close(old.fd)
		}
	}
	c.mu.ttys = ttys
	return absent
}

// Quiet keeps lines off a terminal until undo is called: they are in the kernel's log. False: it is none of those in use.
func (c *Console) Quiet(name string) (undo func(), ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !slices.ContainsFunc(c.mu.ttys, func(t tty) bool { return t.name == name }) {
		return nil, false
	}
	if c.mu.quiet == nil {
		c.mu.quiet = map[string]int{}
	}
	c.mu.quiet[name]++
	return func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.mu.quiet[name]--
	}, true
}

// Line prints to the terminals and the kernel log.
func (c *Console) Line(format string, args ...any) {
	text := strings.TrimRight(fmt.Sprintf(format, args...), "\n")
	c.Log(text)
	c.Show("", text)
}

// Show prints a line of a source, "" being init itself, to the terminals only. Lines that repeat are counted.
func (c *Console) Show(source, text string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	r := c.mu.repeats[source]
	if r == nil {
		r = &Repeats{last: source == ""}
		if c.mu.repeats == nil {
			c.mu.repeats = map[string]*Repeats{}
		}
		c.mu.repeats[source] = r
	}
	c.print(source, r.Add(c.Uptime(), text))
}

// Repeats tells the counts of repeated lines as they come due, and all that is left when ctx ends.
func (c *Console) Repeats(ctx context.Context) error {
	tell := func(of func(*Repeats) []string) {
		c.mu.Lock()
		defer c.mu.Unlock()
		for source, r := range c.mu.repeats {
			c.print(source, of(r))
		}
	}
	for run.Wait(ctx, 10*time.Second) {
		tell(func(r *Repeats) []string { return r.Due(c.Uptime()) })
	}
	tell((*Repeats).Rest)
	return nil
}

// print writes lines with the time and their source; the caller holds the lock.
func (c *Console) print(source string, lines []string) {
	known := c.Known != nil && c.Known()
	head := wallclock.Stamp(time.Now(), c.Uptime(), known) + " hardnode: "
	if source != "" {
		head += source + ": "
	}
	for _, l := range lines {
		for _, t := range c.mu.ttys {
			if c.mu.quiet[t.name] == 0 {
				write(t.fd, plain.Line(head+l)+"\r\n")
			}
		}
	}
}

// Log writes to the kernel log only; the kernel adds its own time.
func (c *Console) Log(text string) { c.kmsg(6, text) }

// Alert writes to the kernel log as an emergency, which pstore keeps and every console shows whatever its level.
func (c *Console) Alert(text string) { c.kmsg(0, text) }

// maxRecord is what the kernel takes as one record (LOG_LINE_MAX), less the prefix.
const maxRecord = 900

// kmsg is plain: the kernel shows its log on the terminals too.
func (c *Console) kmsg(level int, text string) {
	text = plain.Line(text)
	if len(text) > maxRecord {
		text = text[:maxRecord] + "..."
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.mu.kmsg != nil {
		fmt.Fprintf(c.mu.kmsg, "<%d>hardnode: %s\n", level, text)
	}
}

// write gives a terminal a line, and up when it takes nothing for a while.
func write(fd int, text string) {
	deadline := time.Now().Add(stuck)
	for text != "" {
		n, err := unix.Write(fd, []byte(text))
		if n > 0 {
			text = text[n:]
			deadline = time.Now().Add(stuck)
			continue
		}
		left := time.Until(deadline)
		if err != unix.EAGAIN && err != unix.EINTR || left <= 0 {
			return
		}
		unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLOUT}}, int(left.Milliseconds())+1)
	}
}

package harness

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"
	"sync"
	"time"
)

// ErrPanic is returned, wrapped, by WaitFor when the guest's kernel panicked.
var ErrPanic = errors.New("the guest's kernel panicked")

// keptLines is how many lines of the console are kept for matching; the log file has them all.
const keptLines = 50_000

var (
	escape = regexp.MustCompile("\x1b(\\[[0-9;?]*[ -/]*[@-~]|\\][^\x07]*\x07|[@-Z\\\\^_()][0-9A-Za-z]?)|\r|\x00")
	panics = regexp.MustCompile(`Kernel panic - not syncing|^(\[ *[0-9.]+\] )?Oops: |int3: 0000`)
)

// Console is the guest's serial port: a log file with relative times, lines to wait for, and a keyboard.
type Console struct {
	Path     string // the log file
	start    time.Time
	crash    bool
	keyboard io.Writer

	log struct {
		sync.Mutex
		file    *os.File
		lines   []string // without escape sequences; lines[0] is line number first
		first   int
		partial string // the unfinished last line
		changed chan struct{}
		end     error     // why there will be no more
		tap     io.Writer // gets every byte too; nil: nobody does
	}
}

func newConsole(path string, start time.Time, crash bool) (*Console, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("make console log: %v", err)
	}
	c := &Console{Path: path, start: start, crash: crash}
	c.log.file, c.log.changed = f, make(chan struct{})
	return c, nil
}

// read takes the serial port's output until it ends.
func (c *Console) read(r io.Reader) {
	buf := bufio.NewReaderSize(r, 64<<10)
	part := make([]byte, 32<<10)
	var rest []byte
	for {
		n, err := buf.Read(part)
		c.tapped(part[:n])
		rest = append(rest, part[:n]...)
		for {
			i := bytes.IndexByte(rest, '\n')
			if i < 0 {
				break
			}
			c.line(string(rest[:i]))
			rest = rest[i+1:]
		}
		c.part(string(rest))
		if err != nil {
			if len(rest) > 0 {
				c.line(string(rest))
			}
			return
		}
	}
}

// Tap has every byte that comes from now on written to one more place, in place of the one before; nil ends that.
func (c *Console) Tap(to io.Writer) {
	c.log.Lock()
	defer c.log.Unlock()
	c.log.tap = to
}

func (c *Console) tapped(p []byte) {
	c.log.Lock()
	defer c.log.Unlock()
	if c.log.tap != nil {
		c.log.tap.Write(p) // a terminal of a test: it does not fail
	}
}

// line takes one finished line.
func (c *Console) line(s string) {
	c.log.Lock()
	defer c.log.Unlock()
	if c.log.file != nil {
		fmt.Fprintf(c.log.file, "[%9.3f] %s\n", time.Since(c.start).Seconds(), strings.TrimRight(s, "\r"))
	}
	clean := escape.ReplaceAllString(s, "")
	c.log.partial = ""
	c.log.lines = append(c.log.lines, clean)
	if n := len(c.log.lines) - keptLines; n > 0 {
		c.log.lines, c.log.first = c.log.lines[n:], c.log.first+n
	}
	if c.log.end == nil && !c.crash && panics.MatchString(clean) {
		c.log.end = fmt.Errorf("%w: %s", ErrPanic, strings.TrimSpace(clean))
	}
	c.wake()
}

// part notes the unfinished last line, so that a prompt can be waited for.
func (c *Console) part(s string) {
	c.log.Lock()
	defer c.log.Unlock()
	c.log.partial = escape.ReplaceAllString(s, "")
	c.wake()
}

// wake lets every waiter look again; the lock is held.
func (c *Console) wake() {
	close(c.log.changed)
	c.log.changed = make(chan struct{})
}

// finish says that no more will come, and why.
func (c *Console) finish(why error) {
	c.log.Lock()
	defer c.log.Unlock()
	if c.log.end == nil {
		c.log.end = why
	}
	if c.log.file != nil {
		fmt.Fprintf(c.log.file, "[%9.3f] == %v\n", time.Since(c.start).Seconds(), why)
		c.log.file.Close()
		c.log.file = nil
	}
	c.wake()
}

// Panic is the guest's kernel panic (ErrPanic, wrapped), or nil; with Config.Crash it is always nil.
func (c *Console) Panic() error {
	c.log.Lock()
	defer c.log.Unlock()
	if errors.Is(c.log.end, ErrPanic) {
		return c.log.end
	}
	return nil
}

// Mark is the number of lines so far: WaitAfter(mark) looks only at what comes later.
func (c *Console) Mark() int {
	c.log.Lock()
	defer c.log.Unlock()
	return c.log.first + len(c.log.lines)
}

// Lines are the kept lines from number mark on, without escape sequences.
func (c *Console) Lines(mark int) []string {
	c.log.Lock()
	defer c.log.Unlock()
	i := min(max(mark-c.log.first, 0), len(c.log.lines))
	out := append([]string(nil), c.log.lines[i:]...)
	if c.log.partial != "" {
		out = append(out, c.log.partial)
	}
	return out
}

// Type sends keys to the guest's serial port.
func (c *Console) Type(s string) error {
	_, err := io.WriteString(c.keyboard, s)
	return err
}

// Excerpt is the last n lines as an error message ends with them, and where the whole log lies.
func (c *Console) Excerpt(n int) string {
	lines := c.Lines(0)
	if len(lines) > n {
		lines = lines[len(lines)-n:]
	}
	return fmt.Sprintf("\nlast lines of %s:\n  | %s", c.Path, strings.Join(lines, "\n  | "))
}

func (c *Console) waitFor(ctx context.Context, mark int, pattern string) ([]string, error) {
	re, err := regexp.Compile(pattern)
	if err != nil {
		return nil, err
	}
	next := mark
	for {
		c.log.Lock()
		for ; next < c.log.first+len(c.log.lines); next++ {
			if next < c.log.first {
				next = c.log.first
			}
			if m := re.FindStringSubmatch(c.log.lines[next-c.log.first]); m != nil {
				c.log.Unlock()
				return m, nil
			}
		}
		partial, end, changed := c.log.partial, c.log.end, c.log.changed
		c.log.Unlock()
		if m := re.FindStringSubmatch(partial); m != nil && partial != "" {
			return m, nil
		}
		if end != nil {
			return nil, end
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

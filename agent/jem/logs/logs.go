// Package logs is JEM's module of the log files below /var/log.
//
// Owns: which files count as logs, how they are read, rotated and emptied.
// In: names below /var/log.
// Out: the end of a log; files that make room.
// Never: leaves /var/log, whatever links there are, or opens what is no regular file.
package logs

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unicode/utf8"

	"golang.org/x/sys/unix"

	"hardnode.dev/agent/jem/contract"
	"hardnode.dev/agent/jem/service"
	"hardnode.dev/internal/wire/jem"
)

// Dir is where logs are.
const Dir = "/var/log"

// Module is the module's table.
var Module = contract.Module{Name: "logs", Help: "log files", Actions: []contract.Action{
	{Name: "list", Help: "files below /var/log, the largest first", Reads: true, Lacks: lacks, Begin: contract.Only(list)},
	{Name: "read", Args: "NAME [--tail N]", Help: "the last lines of a log", Reads: true, Lacks: lacks, Begin: read},
	{Name: "rotate", Args: "NAME [--keep N] [--reload UNIT]", Help: "set a log aside as NAME.1 and begin it anew; its writer goes on",
		Frees: true,
		Lacks: lacks, Begin: rotate},
	{Name: "empty", Args: "NAME", Help: "throw away what is in a log", Frees: true, Lacks: lacks, Begin: empty},
}}

func lacks(root string) string {
	if st, err := os.Stat(filepath.Join(root, Dir)); err != nil || !st.IsDir() {
		return "directory " + Dir
	}
	return ""
}

const (
	maxFiles    = 2000
	defaultTail = 100
	maxTail     = 10000
)

func list(ctx context.Context, c *contract.Call) error {
	dir, err := os.OpenRoot(filepath.Join(c.Root, Dir))
	if err != nil {
		return err
	}
	defer dir.Close()
	type found struct {
		name string
		size int64
		when time.Time
	}
	var all []found
	fs.WalkDir(dir.FS(), ".", func(p string, d fs.DirEntry, err error) error {
		if ctx.Err() != nil || len(all) == maxFiles {
			return fs.SkipAll
		}
		if err != nil || strings.Count(p, "/") > 5 {
			return nil
		}
		if st, err := d.Info(); err == nil && d.Type().IsRegular() && utf8.ValidString(p) {
			all = append(all, found{p, st.Size(), st.ModTime()})
		}
		return nil
	})
	slices.SortFunc(all, func(a, b found) int { return cmp.Or(cmp.Compare(b.size, a.size), strings.Compare(a.name, b.name)) })
	c.Reply.Columns = []string{"name", "bytes", "modified"}
	sum := int64(0)
	for _, f := range all {
		sum += f.size
		c.Row(f.name, strconv.FormatInt(f.size, 10), f.when.UTC().Format(time.RFC3339))
	}
	c.Done("%d files, %d KiB", len(all), sum>>10)
	return nil
}

// log is one log of a call.
type log struct {
	name string
	root *os.Root
	f    *os.File
}

// open opens the log that a call names, for reading or for both.
func open(c *contract.Call, name string, flag int) (*log, error) {
	dir, err := os.OpenRoot(filepath.Join(c.Root, Dir))
	if err != nil {
		return nil, err
	}
	f, err := dir.OpenFile(name, flag|unix.O_NONBLOCK, 0)
	if err == nil {
		st, serr := f.Stat()
		if serr == nil && st.Mode().IsRegular() {
			return &log{name, dir, f}, nil
		}
		f.Close()
		err = errors.New("is no regular file")
	}
	dir.Close()
	if errors.Is(err, fs.ErrNotExist) {
		return nil, &jem.Error{Code: "not_found", Reason: fmt.Sprintf("there is no log %s/%s", Dir, name), Next: "jem logs list"}
	}
	return nil, &jem.Error{Code: "conflict", Reason: fmt.Sprintf("log %s/%s: %v", Dir, name, err), Next: "jem logs list"}
}

func (l *log) close() { l.f.Close(); l.root.Close() }

// nameOf takes a name below /var/log, with or without that.
func nameOf(arg string) (string, error) {
	name := strings.TrimPrefix(arg, Dir+"/")
	if !filepath.IsLocal(name) || name == "." {
		return "", contract.Invalid("log %q: is no name below %s", arg, Dir)
	}
	return filepath.Clean(name), nil
}

func read(c *contract.Call) (contract.Steps, error) {
	a, err := c.Parse(1, 1, "tail N")
	if err != nil {
		return contract.Steps{}, err
	}
	name, err := nameOf(a.Rest[0])
	n, nerr := a.Number("tail", defaultTail, 1, maxTail)
	return contract.Steps{Do: func(context.Context) error {
		l, err := open(c, name, os.O_RDONLY)
		if err != nil {
			return err
		}
		defer l.close()
		st, err := l.f.Stat()
		if err != nil {
			return err
		}
		from := max(0, st.Size()-jem.MaxText)
		b, err := io.ReadAll(io.NewSectionReader(l.f, from, jem.MaxText))
		if err != nil {
			return fmt.Errorf("read log %s: %v", name, err)
		}
		if from > 0 { // the first line is not whole
			_, b, _ = bytes.Cut(b, []byte("\n"))
		}
		c.Reply.Text = strings.ToValidUTF8(string(lastLines(b, n)), "\uFFFD")
		c.Done("%s/%s: %d bytes", Dir, name, st.Size())
		return nil
	}}, errors.Join(err, nerr)
}

// lastLines are the last n lines.
func lastLines(b []byte, n int) []byte {
	at := len(b)
	if at > 0 && b[at-1] == '\n' {
		at--
	}
	for ; n > 0 && at >= 0; n-- {
		at = bytes.LastIndexByte(b[:at], '\n')
	}
	return b[at+1:]
}

func empty(c *contract.Call) (contract.Steps, error) {
	a, err := c.Parse(1, 1)
	if err != nil {
		return contract.Steps{}, err
	}
	name, err := nameOf(a.Rest[0])
	return contract.Steps{Do: func(context.Context) error {
		l, err := open(c, name, os.O_RDWR)
		if err != nil {
			return err
		}
		defer l.close()
		st, err := l.f.Stat()
		if err == nil {
			err = l.f.Truncate(0)
		}
		if err != nil {
			return fmt.Errorf("empty log %s: %v", name, err)
		}
		c.Done("%s/%s is empty; it had %d bytes", Dir, name, st.Size())
		return nil
	}}, err
}

func rotate(c *contract.Call) (contract.Steps, error) {
	a, err := c.Parse(1, 1, "keep N", "reload UNIT")
	if err != nil {
		return contract.Steps{}, err
	}
	name, err := nameOf(a.Rest[0])
	keep, nerr := a.Number("keep", 5, 1, 99)
	return contract.Steps{Do: func(ctx context.Context) error {
		l, err := open(c, name, os.O_RDWR)
		if err != nil {
			return err
		}
		defer l.close()
		if err := l.shift(keep); err != nil {
			return fmt.Errorf("rotate log %s: %v", name, err)
		}
		if unit := a.Option("reload"); unit != "" {
			err = l.moved()
			if err == nil {
				err = service.Reload(ctx, c, unit)
			}
		} else {
			err = l.copied()
		}
		if err != nil {
			return fmt.Errorf("rotate log %s: %w", name, err)
		}
		c.Done("%s/%s is begun anew, what was in it is in %s.1", Dir, name, name)
		return nil
	}}, errors.Join(err, nerr)
}

// shift makes .1 free: each of the older ones gets the next number, and the last one goes.
func (l *log) shift(keep int) error {
	old := func(n int) string { return l.name + "." + strconv.Itoa(n) }
	if err := l.root.Remove(old(keep)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for n := keep - 1; n >= 1; n-- {
		if err := l.root.Rename(old(n), old(n+1)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// copied copies the log and empties it: its writer needs not be told. What is written in between is lost.
func (l *log) copied() error {
	to, err := l.root.OpenFile(l.name+".1", os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer to.Close()
	if err := l.like(to); err != nil {
		return err
	}
	if _, err := io.Copy(to, io.LimitReader(l.f, 1<<40)); err != nil {
		l.root.Remove(l.name + ".1") // the log itself is as it was
		return err
	}
	return l.f.Truncate(0)
}

// moved gives the log its new name and makes an empty one; its writer must be told.
func (l *log) moved() error {
	if err := l.root.Rename(l.name, l.name+".1"); err != nil {
		return err
	}
	to, err := l.root.OpenFile(l.name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer to.Close()
	return l.like(to)
}

// like gives a new file the log's owner and mode.
func (l *log) like(to *os.File) error {
	st, err := l.f.Stat()
	if err != nil {
		return err
	}
	if sys, ok := st.Sys().(*syscall.Stat_t); ok && os.Geteuid() == 0 {
		if err := to.Chown(int(sys.Uid), int(sys.Gid)); err != nil {
			return err
		}
	}
	return to.Chmod(st.Mode().Perm())
}

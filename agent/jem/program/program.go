// Package program runs the container's own programs for JEM.
//
// Owns: where they are looked for, as whom they run, how long, and how much of what they write is kept.
// In: a root, a command, a context with a deadline.
// Out: the end of their output; an error that names the program and how it ended.
// Never: leaves a process behind unless it is a service's, keeps more than Kept bytes, or hands a variable of JEM's own on.
package program

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"hardnode.dev/internal/wire/jem"
)

// Kept is how much of a program's output is kept, in bytes: the end of it.
const Kept = 32 << 10

// dirs are where programs are looked for, below the root.
var dirs = []string{"usr/local/sbin", "usr/local/bin", "usr/sbin", "usr/bin", "sbin", "bin"}

// Find is the first of these programs that is there, as a path below root; "" if none is. They are names, or absolute paths, in which a *
// stands for a version: the last by name counts.
func Find(root string, names ...string) string {
	for _, n := range names {
		if strings.HasPrefix(n, "/") {
			found := []string{filepath.Join(root, n)}
			if strings.Contains(n, "*") {
				found, _ = filepath.Glob(found[0])
				slices.Sort(found)
			}
			for _, p := range slices.Backward(found) {
				if runs(p) {
					return p
				}
			}
			continue
		}
		for _, d := range dirs {
			if p := filepath.Join(root, d, n); runs(p) {
				return p
			}
		}
	}
	return ""
}

func runs(path string) bool {
	st, err := os.Stat(path)
	return err == nil && st.Mode().IsRegular() && st.Mode()&0o111 != 0
}

// Running tells whether a process here has one of these names, or one that begins so and goes on with a version.
func Running(root string, names ...string) bool { return len(Processes(root, names...)) > 0 }

// Processes are the numbers of those.
func Processes(root string, names ...string) (pids []string) {
	proc := os.DirFS(filepath.Join(root, "proc"))
	found, _ := fs.Glob(proc, "[0-9]*/comm")
	for _, at := range found {
		raw, err := fs.ReadFile(proc, at)
		if err == nil && slices.Contains(names, strings.TrimRight(strings.TrimSpace(string(raw)), "0123456789.")) {
			pids = append(pids, strings.TrimSuffix(at, "/comm"))
		}
	}
	return pids
}

// Lacks is the error of a program that is not there.
func Lacks(what string, names ...string) error {
	return &jem.Error{Code: "unavailable", Reason: fmt.Sprintf("%s needs %s, which this container does not have", what,
		strings.Join(names, " or ")),
		Next: "install it in the container, or use an image that has it"}
}

// User is whom a program runs as.
type User struct{ UID, GID uint32 }

// Command is one run. The zero value of all but Path is allowed.
type Command struct {
	Path string // absolute
	Args []string
	Dir  string
	Env  []string // beside PATH, HOME and LANG
	In   io.Reader
	Out  io.Writer // gets stdout whole; nil: it is kept as stderr is
	As   *User     // nil: as JEM
	// Leaves: what it has started goes on when it has ended in time. It starts a service.
	Leaves bool
}

// Run runs a command to its end, or until ctx ends: then it and its process group are killed. With its end the group ends too, unless it
// Leaves something. said is the end of its output; an error by
// its exit code is an *exec.ExitError.
func Run(ctx context.Context, c Command) (said string, err error) {
	end := &tail{}
	cmd := exec.CommandContext(ctx, c.Path, c.Args...)
	cmd.Dir, cmd.Stdin, cmd.Stdout, cmd.Stderr = c.Dir, c.In, end, end
	if c.Out != nil {
		cmd.Stdout = c.Out
	}
	home := "HOME=/root"
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if c.As != nil && os.Geteuid() == 0 {
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: c.As.UID, Gid: c.As.GID}
		home = "HOME=/"
	}
	path := "PATH=/" + strings.Join(dirs, ":/")
	cmd.Env = slices.Concat([]string{path, home, "LANG=C.UTF-8"}, c.Env)
	cmd.Cancel = func() error { return unix.Kill(-cmd.Process.Pid, unix.SIGKILL) }
	cmd.WaitDelay = time.Second
	err = cmd.Run()
	if cmd.Process != nil && (!c.Leaves || ctx.Err() != nil) {
		unix.Kill(-cmd.Process.Pid, unix.SIGKILL) // what it left in its group
	}
	said = end.String()
	name := filepath.Base(c.Path)
	var exit *exec.ExitError
	switch {
	case err == nil || errors.Is(err, exec.ErrWaitDelay) && ctx.Err() == nil:
		return said, nil
	case ctx.Err() != nil:
		return said, fmt.Errorf("%s did not end in time and was killed", name)
	case errors.As(err, &exit):
		return said, fmt.Errorf("%s ended with %w%s", name, exit, lastLine(said))
	}
	return said, fmt.Errorf("run %s: %v", name, err)
}

// lastLine is the last line said, to go behind an error.
func lastLine(said string) string {
	lines := strings.Split(strings.TrimSpace(said), "\n")
	if l := lines[len(lines)-1]; l != "" {
		return fmt.Sprintf(": %.300s", l)
	}
	return ""
}

// tail keeps the end of what is written.
type tail struct {
	b   []byte
	cut bool
}

func (t *tail) Write(p []byte) (int, error) {
	t.b = append(t.b, p...)
	if len(t.b) > 2*Kept {
		t.b, t.cut = slices.Clone(t.b[len(t.b)-Kept:]), true
	}
	return len(p), nil
}

// String is what is kept, as text.
func (t *tail) String() string {
	b, cut := t.b, t.cut
	if len(b) > Kept {
		b, cut = b[len(b)-Kept:], true
	}
	s := strings.ToValidUTF8(string(b), "\uFFFD")
	if cut {
		s = "[…]" + s
	}
	return s
}

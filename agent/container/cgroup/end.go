package cgroup

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"hardnode.dev/agent/spawner/call"
	"hardnode.dev/agent/sys"
	"hardnode.dev/internal/run"
)

// End ends what is in a command's cgroup and removes it.
func End(ctx context.Context, dir string) error {
	for wait := time.Millisecond; ; wait = min(2*wait, time.Second) {
		if n, err := Populated(dir); err != nil || n {
			if err := KillAll(ctx, dir); err != nil {
				return err
			}
		}
		err := Drop(dir)
		if !errors.Is(err, unix.EBUSY) || !run.Wait(ctx, wait) {
			return err
		}
	}
}

// Processes counts those in a cgroup; what is below it belongs to nobody but the command.
func Processes(dir string) (n int) {
	b, err := os.ReadFile(filepath.Join(dir, "cgroup.procs"))
	if err != nil {
		return 0
	}
	return strings.Count(string(b), "\n")
}

// Ours tells whether the host made a cgroup: a container may make some too, with any name.
func Ours(dir string) bool {
	st, err := os.Lstat(dir)
	if err != nil {
		return false
	}
	s, ok := st.Sys().(*syscall.Stat_t)
	return ok && s.Uid == 0
}

// KillAll kills all in a cgroup and below it and waits until they are gone, killing again with growing pauses: a process that was being
// made during one kill is killed by the next.
func KillAll(ctx context.Context, dir string) error {
	for wait := time.Millisecond; ; wait = min(2*wait, time.Second) {
		err := Write(filepath.Join(dir, "cgroup.kill"), "1")
		if Gone(err) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("kill: %w", err)
		}
		for end := time.Now().Add(wait); ; {
			if n, err := Populated(dir); err != nil || !n {
				return err
			}
			if !run.Wait(ctx, min(wait, 20*time.Millisecond)) {
				return fmt.Errorf("wait for them: %w", ctx.Err())
			}
			if time.Now().After(end) {
				break
			}
		}
	}
}

// Gone tells whether a file of a cgroup is missing because the cgroup is: one removed while it is open or being read answers ENODEV.
func Gone(err error) bool { return errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENODEV) }

// Populated tells whether a process is left in a cgroup or below it; in none there is none.
func Populated(dir string) (bool, error) {
	text, err := sys.ReadSmall(filepath.Join(dir, "cgroup.events"))
	if Gone(err) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("read %q: %w", dir, err)
	}
	return strings.Contains(text, "populated 1"), nil
}

// Drop removes an empty cgroup and all below it, which the container may have made.
func Drop(dir string) error {
	entries, err := os.ReadDir(dir)
	if Gone(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("remove cgroup %q: %w", dir, err)
	}
	for _, e := range entries {
		if e.IsDir() {
			if err := Drop(filepath.Join(dir, e.Name())); err != nil {
				return err
			}
		}
	}
	if err := unix.Rmdir(dir); err != nil && !Gone(err) {
		return fmt.Errorf("remove cgroup %q: %w", dir, err)
	}
	return nil
}

// Inode is a directory's inode number: the id of a cgroup (kernel: struct kernfs_node). 0 is not known.
func Inode(dir string) uint64 {
	st, err := os.Stat(dir)
	if err != nil {
		return 0
	}
	sys, ok := st.Sys().(*syscall.Stat_t)
	if !ok {
		return 0
	}
	return sys.Ino
}

// Range is the first id of the range that a container's processes run in. The owner of the inner cgroup tells it: that is the container's
// root, or another of its users to whom root gave the cgroup.
func Range(dir string) uint32 {
	st, err := os.Stat(filepath.Join(dir, "p"))
	if err != nil {
		return 0
	}
	sys, ok := st.Sys().(*syscall.Stat_t)
	if !ok {
		return 0
	}
	if sys.Uid >= call.LargeRanges {
		return sys.Uid &^ (call.LargeRange - 1)
	}
	return sys.Uid &^ 0xffff
}

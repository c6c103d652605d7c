// Package cgroup makes, fills, empties and removes the cgroups of containers.
//
// Owns: their shape (two levels), their delegation, the way all processes of one are ended.
// In: directories below /sys/fs/cgroup, settings of agent/container/limits.
// Out: cgroups that carry their limits before a process is in them; numbers read from their files.
// Never: knows which containers shall run, or leaves a process of a cgroup it was told to end.
package cgroup

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"

	"hardnode.dev/agent/container/limits"
	"hardnode.dev/agent/sys"
	"hardnode.dev/internal/wire/boot"
)

// Root is the root of the cgroup tree.
const Root = "/sys/fs/cgroup"

// controllers are enabled from the root down to the containers' own cgroups, innerControllers in these.
const (
	controllers      = "+cpu +memory +io +pids"
	innerControllers = "+cpu +memory +pids"
)

// delegated are the files of the inner cgroup that belong to the container's root (/sys/kernel/cgroup/delegate).
var delegated = []string{"", "cgroup.procs", "cgroup.threads", "cgroup.subtree_control"}

// Prepare makes the parent of all containers' cgroups.
func Prepare(dir string) error {
	parent := filepath.Dir(dir)
	if err := os.WriteFile(filepath.Join(parent, "cgroup.subtree_control"), []byte(controllers), 0); err != nil {
		return fmt.Errorf("enable controllers in %q: %w", parent, err)
	}
	if err := os.Mkdir(dir, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("make cgroup %q: %w", dir, err)
	}
	if err := os.WriteFile(filepath.Join(dir, "cgroup.subtree_control"), []byte(controllers), 0); err != nil {
		return fmt.Errorf("enable controllers in %q: %w", dir, err)
	}
	return nil
}

// mark notes on a new cgroup when it was made, for agent/procview: the kernel keeps no such time.
func mark(dir *os.File) error {
	var now unix.Timespec
	err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &now)
	if err == nil {
		err = unix.Fsetxattr(int(dir.Fd()), boot.StartedAttr, strconv.AppendInt(nil, now.Nano(), 10), 0)
	}
	if err != nil {
		return fmt.Errorf("note on cgroup %q when it was made: %w", dir.Name(), err)
	}
	return nil
}

// Make makes both levels of a container's cgroup with limits and device rules and opens the inner one, a part of which belongs to owner.
func Make(dir string, list []limits.Setting, system bool, owner uint32, devs *sys.DeviceProgram) (inner *os.File, err error) {
	id := filepath.Base(dir)
	if err := os.Mkdir(dir, 0o755); err != nil {
		return nil, fmt.Errorf("make cgroup of container %s: %w", id, err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, Drop(dir))
		}
	}()
	list = limits.Unborn(list)
	outside, inside := append(list, limits.Setting{File: "cgroup.subtree_control", Value: innerControllers}), limits.Seen(list)
	if system {
		// so that it can always be removed
		outside = append(outside, limits.Setting{File: "cgroup.max.depth", Value: "16"},
			limits.Setting{File: "cgroup.max.descendants", Value: "1000"})
	} else {
		inside = append(inside, limits.Setting{File: "memory.oom.group", Value: "1"}) // one program: half of it is no use
	}
	outer, err := sys.OpenDir(dir)
	if err != nil {
		return nil, err
	}
	defer outer.Close()
	if err := writeSettings(outer, outside); err != nil {
		return nil, err
	}
	if err := mark(outer); err != nil {
		return nil, err
	}
	if err := devs.Attach(outer); err != nil {
		return nil, err
	}
	if err := os.Mkdir(filepath.Join(dir, "p"), 0o755); err != nil {
		return nil, fmt.Errorf("make inner cgroup of container %s: %w", id, err)
	}
	if inner, err = sys.OpenDir(filepath.Join(dir, "p")); err != nil {
		return nil, err
	}
	if err = writeSettings(inner, inside); err == nil {
		err = delegate(inner, owner)
	}
	if err != nil {
		inner.Close()
		return nil, err
	}
	return inner, nil
}

// delegate gives a part of the inner cgroup to the container's root.
func delegate(inner *os.File, owner uint32) error {
	for _, f := range delegated {
		flags := 0
		if f == "" {
			flags = unix.AT_EMPTY_PATH
		}
		if err := unix.Fchownat(int(inner.Fd()), f, int(owner), int(owner), flags); err != nil {
			return fmt.Errorf("delegate %q of cgroup %q: %w", f, inner.Name(), err)
		}
	}
	return nil
}

func writeSettings(dir *os.File, list []limits.Setting) error {
	for _, s := range list {
		if err := writeAt(int(dir.Fd()), s.File, filepath.Join(dir.Name(), s.File), s.Value); err != nil {
			return fmt.Errorf("set %s of %q to %q: %w", s.File, dir.Name(), s.Value, err)
		}
	}
	return nil
}

// Limit changes the limits of a container's cgroups. What it uses goes down first, as far as that takes no longer than a moment; the error
// is a limits.Waits when it uses more than it shall have even so: all else is set then.
func Limit(dir string, list []limits.Setting) error {
	use, more := shrink(dir, limits.Aim(list))
	list, waits := limits.Fit(list, use, more)
	// It may be an earlier agent's, whose containers did not see their limits.
	for _, w := range []struct {
		dir  string
		list []limits.Setting
	}{{dir, append(list, limits.Setting{File: "cgroup.subtree_control", Value: innerControllers})},
		{filepath.Join(dir, "p"), limits.Seen(list)}} {
		d, err := sys.OpenDir(w.dir)
		if err != nil {
			return err
		}
		err = writeSettings(d, w.list)
		d.Close()
		if err != nil {
			return err
		}
	}
	return waits
}

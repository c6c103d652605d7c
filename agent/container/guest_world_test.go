//go:build guest

package container

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"hardnode.dev/internal/run"
)

// world is what a start makes and must take back. The spawner's spares are made ahead, in their own time: they are left out.
type worldState struct{ mounts, cgroups, data, procs, fds []string }

func worldOf(t testing.TB) worldState {
	t.Helper()
	var w worldState
	b, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	for l := range strings.Lines(string(b)) {
		w.mounts = append(w.mounts, strings.Fields(l)[4])
	}
	filepath.WalkDir("/sys/fs/cgroup/ct", func(p string, d os.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			w.cgroups = append(w.cgroups, p)
		}
		return nil
	})
	homes, _ := filepath.Glob("/data/ct/*")
	subs, _ := filepath.Glob("/data/ct/*/*")
	snaps, _ := filepath.Glob("/data/snap/*/*")
	w.data = slices.Concat(homes, subs, snaps)
	ending := spares(t, world.init) // some may be
	procs, fds := map[string]string{}, map[string][]string{}
	dirs, _ := filepath.Glob("/proc/[0-9]*")
	for _, d := range dirs {
		if c, _ := os.ReadFile(d + "/cmdline"); len(c) > 0 {
			procs[filepath.Base(d)] = string(bytes.ReplaceAll(bytes.TrimRight(c, "\x00"), []byte{0}, []byte(" ")))
		}
	}
	spawner := fmt.Sprintf("/proc/%d/fd", world.init.cmd.Process.Pid)
	for _, d := range []string{"/proc/self/fd", spawner} {
		list, _ := os.ReadDir(d)
		for _, f := range list {
			if to, err := os.Readlink(filepath.Join(d, f.Name())); err == nil && !strings.HasPrefix(to, "socket:") &&
				!strings.HasPrefix(to, "/proc/") {
				if to == "anon_inode:[pidfd]" {
					info, _ := os.ReadFile(filepath.Join(filepath.Dir(d), "fdinfo", f.Name()))
					_, of, _ := strings.Cut(string(info), "Pid:")
					to, _, _ = strings.Cut("pid:["+strings.TrimSpace(of), "\n")
				}
				fds[d] = append(fds[d], to)
			}
		}
	}
	for _, pid := range append(ending, spares(t, world.init)...) { // looked for last too: what was made meanwhile is among them
		delete(procs, pid)
		user, _ := os.Readlink("/proc/" + pid + "/ns/user")
		net, _ := os.Readlink("/proc/" + pid + "/ns/net")
		fds[spawner] = slices.DeleteFunc(fds[spawner], func(to string) bool { return to == user || to == net || to == "pid:["+pid })
	}
	w.procs = slices.Collect(maps.Values(procs))
	for d, list := range fds {
		for _, to := range list {
			kind, _, _ := strings.Cut(to, ":[")
			if kind == "anon_inode:bpf-prog" || kind == "/dev/kmsg" {
				continue // one a Runtime, closed with it by the collector
			}
			w.fds = append(w.fds, filepath.Dir(d)+" "+kind)
		}
	}
	for _, l := range []*[]string{&w.mounts, &w.cgroups, &w.data, &w.procs, &w.fds} {
		slices.Sort(*l)
	}
	return w
}

// beyond is what is in now more often than it was.
func beyond(was, now []string) (more []string) {
	left := slices.Clone(was)
	for _, x := range now {
		if i := slices.Index(left, x); i >= 0 {
			left = slices.Delete(left, i, i+1)
		} else {
			more = append(more, x)
		}
	}
	return more
}

// compare waits a moment for what ends by itself, then names every difference. Descriptors may be fewer: those of an earlier test are
// closed whenever the collector finds them.
func (w worldState) compare(t testing.TB, after string) {
	t.Helper()
	var now worldState
	for range 40 {
		now = worldOf(t)
		if more := beyond(w.fds, now.fds); len(more) == 0 {
			now.fds = w.fds
		}
		if fmt.Sprint(now) == fmt.Sprint(w) {
			return
		}
		run.Wait(context.Background(), 50*time.Millisecond)
	}
	for _, c := range []struct {
		what     string
		was, now []string
	}{{"mounts", w.mounts, now.mounts}, {"cgroups", w.cgroups, now.cgroups}, {"data", w.data, now.data}, {"processes", w.procs, now.procs},
		{"descriptors", w.fds, now.fds}} {
		if !slices.Equal(c.was, c.now) {
			t.Errorf("after %s: %s were\n%s\nand are\n%s", after, c.what, strings.Join(c.was, "\n"), strings.Join(c.now, "\n"))
		}
	}
}

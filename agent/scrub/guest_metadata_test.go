//go:build guest

package scrub

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"hardnode.dev/internal/disk"
	"hardnode.dev/internal/disk/btrfs"
)

// small is a DATA of 320 MiB on a loop device.
func small(t *testing.T) (data string) {
	t.Helper()
	image, top := filepath.Join(t.TempDir(), "disk"), t.TempDir()
	must(t, os.WriteFile(image, nil, 0o600))
	must(t, os.Truncate(image, 320<<20))
	control, err := os.OpenFile("/dev/loop-control", os.O_RDWR, 0)
	must(t, err)
	defer control.Close()
	n, err := unix.IoctlRetInt(int(control.Fd()), unix.LOOP_CTL_GET_FREE)
	must(t, err)
	device := fmt.Sprintf("/dev/loop%d", n)
	loop, err := os.OpenFile(device, os.O_RDWR, 0)
	must(t, err)
	t.Cleanup(func() { loop.Close() })
	file, err := os.OpenFile(image, os.O_RDWR, 0)
	must(t, err)
	defer file.Close()
	must(t, unix.IoctlSetInt(int(loop.Fd()), unix.LOOP_SET_FD, int(file.Fd())))
	t.Cleanup(func() { unix.IoctlSetInt(int(loop.Fd()), unix.LOOP_CLR_FD, 0) })
	must(t, disk.Make(t.Context(), func(ctx context.Context, argv ...string) (string, error) {
		out, err := exec.CommandContext(ctx, filepath.Base(argv[0]), argv[1:]...).CombinedOutput()
		return string(out), err
	}, device))
	data, state := filepath.Join(top, "data"), filepath.Join(top, "state")
	must(t, errors.Join(os.Mkdir(data, 0o700), os.Mkdir(state, 0o700)))
	must(t, disk.MountData(disk.Devices{Data: []string{device}}, data, state))
	t.Cleanup(func() { must(t, errors.Join(unix.Unmount(state, 0), unix.Unmount(data, 0))) })
	return data
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// files makes small files, whose content lies in metadata, in a folder until one fails or enough says so.
func files(t *testing.T, dir string, enough func() bool) (n int, err error) {
	t.Helper()
	must(t, os.MkdirAll(dir, 0o700))
	block := make([]byte, 1900) // more would be data's
	rand.Read(block)
	for ; err == nil && !(n%50 == 0 && enough()); n++ {
		err = os.WriteFile(fmt.Sprintf("%s/file-%d-%d", dir, time.Now().UnixNano(), n), block, 0o600)
	}
	return n, err
}

// TestMetadata: a quota counts metadata, so that who makes small files without end is refused and the others are not; where metadata as a
// whole finds no room any more, a host says so before, takes nothing new, gives back what data does not use, and is well again when files
// are deleted.
func TestMetadata(t *testing.T) {
	data := small(t)
	subvolume := func(name string, limit int64) (path string) {
		top, err := os.Open(data)
		must(t, err)
		defer top.Close()
		must(t, btrfs.CreateSubvolume(top, name))
		path = filepath.Join(data, name)
		dir, err := os.Open(path)
		must(t, err)
		defer dir.Close()
		must(t, btrfs.LimitSubvolume(dir, limit))
		return path
	}
	never := func() bool { return false }
	other := subvolume("other", 64<<20)
	writes := func(when string) {
		t.Helper()
		if err := errors.Join(os.Mkdir(other+"/"+when, 0o700), os.WriteFile(other+"/"+when+"/file", make([]byte, 256<<10), 0o600),
			os.Rename(other+"/"+when+"/file", other+"/"+when+"/renamed")); err != nil {
			t.Errorf("%s, another container can't write: %v", when, err)
		}
	}

	bounded := subvolume("bounded", 8<<20)
	n, err := files(t, bounded, never)
	dir, e := os.Open(bounded)
	must(t, e)
	counted, e := btrfs.SubvolumeBytes(dir)
	must(t, errors.Join(e, dir.Close()))
	if !errors.Is(err, unix.EDQUOT) || n < 1000 || counted < 6<<20 || counted > 8<<20 {
		t.Errorf("with a quota of 8 MiB, after %d small files, %d KiB are counted, and: %v", n, counted>>10, err)
	}
	writes("full of small files")
	t.Logf("a quota of 8 MiB held %d small files, %d KiB by its own count", n, counted>>10)

	k := New(data, nil)
	look := func() seen {
		t.Helper()
		d, s, err := k.look()
		must(t, errors.Join(err, d.Close()))
		return s
	}
	look()
	if p, err := k.Problem(), k.Closed(); p != nil || err != nil {
		t.Fatalf("at first: %v, %v", p, err)
	}
	greedy := subvolume("greedy", 0)
	big, err := os.Create(greedy + "/big")
	must(t, err)
	defer big.Close()
	at := int64(0)
	for step := int64(16 << 20); step >= 64<<10; { // all that is not allotted becomes data's
		if unix.Fallocate(int(big.Fd()), 0, at, step) == nil {
			at += step
		} else {
			step /= 2
		}
	}
	must(t, big.Truncate(at-8<<20)) // data has room all the time
	unix.Sync()
	_, err = files(t, greedy+"/1", func() bool { look(); return k.Problem() != nil })
	must(t, err)
	s := look()
	p := k.Problem()
	t.Logf("the problem: %s (%s)", p.Reason, p.Next)
	if p.Code != "exhausted" || !strings.Contains(p.Reason, "more find room") || s.room() < low(s.total())/2 || k.Closed() != nil {
		t.Errorf("with room for %d MiB the problem is %+v, and %v", s.room()>>20, p, k.Closed())
	}
	writes("with little room")
	_, err = files(t, greedy+"/2", func() bool { return k.Closed() != nil })
	must(t, err)
	if p := k.Problem(); p == nil || !strings.Contains(p.Reason, "new containers are refused") {
		t.Errorf("the problem is %+v", p)
	}
	t.Logf("refused: %v", k.Closed())
	writes("with new ones refused")

	// To the very end: nobody can write, nothing is lost, and what is deleted makes room.
	if n, err = files(t, greedy+"/3", never); !errors.Is(err, unix.ENOSPC) {
		t.Errorf("after %d more: %v", n, err)
	}
	for _, part := range []string{"/3", "/2"} {
		if err := os.RemoveAll(greedy + part); err != nil {
			t.Errorf("full, files can't be deleted: %v", err)
		}
	}
	unix.Sync()
	writes("after files are deleted")

	// Data gives back what it does not use.
	must(t, big.Truncate(0))
	unix.Sync()
	for end := time.Now().Add(time.Minute); k.Closed() != nil || k.Problem() != nil; {
		if time.Now().After(end) {
			t.Fatalf("with data that is not used, after %d block groups were given back: %+v, %v", k.Status().Moved, look(), k.Problem())
		}
		k.mu.Lock()
		k.mu.rest = time.Time{}
		k.mu.Unlock()
		if _, err := k.step(time.Now()); err != nil {
			t.Log(err)
		}
	}
	writes("in the end")
}

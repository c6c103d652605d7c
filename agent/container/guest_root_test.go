//go:build guest

package container

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"hardnode.dev/agent/sys"
	"hardnode.dev/internal/run"
	"hardnode.dev/internal/wire/host"
)

// TestRootAsImage: a device that is mounted already, as a host's root is, does for an image; the container of a look at whether containers
// run here (agent/apply) runs JEM on it, which says how it went.
func TestRootAsImage(t *testing.T) {
	spawnerUp(t)
	r := newRuntime(t)
	file, _ := image(t, "box")
	device := loop(t, file)
	tree, err := sys.NewMount("erofs", sys.ReadOnly, [2]string{"source", device}, [2]string{"ro", ""})
	if err != nil {
		t.Fatal(err)
	}
	root := filepath.Join(t.TempDir(), "root")
	if err := os.Mkdir(root, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := sys.Attach(tree, root); err != nil {
		t.Fatal(err)
	}
	tree.Close()
	t.Cleanup(func() { sys.Detach(root) })
	before := worldOf(t)
	for _, c := range []struct {
		action, said string
		code         int
	}{
		{"service status", `"init":"app"`, 0},
		{"host reach", "the host does not answer at 127.0.0.1 within 5s", 1},
	} {
		s := box(t, 461, "")
		s.ImagePath, s.Resolv = device, []byte("nameserver 127.0.0.1\n")
		s.Process = host.Process{Argv: append([]string{"/run/hardnode/jem"}, strings.Fields(c.action)...)}
		began := time.Now()
		o, err := r.Start(deadline(t), s)
		if err != nil {
			t.Fatal(err)
		}
		o = ended(t, r, o)
		var said strings.Builder
		err = r.Logs(deadline(t), 461, host.LogsSpec{Tail: 20}, func(_ bool, text []byte) error { said.Write(text); return nil })
		if err != nil || !o.ExitKnown || o.ExitCode != c.code || !strings.Contains(said.String(), c.said) {
			t.Errorf("jem %s: code %d (%v), %q, %v", c.action, o.ExitCode, o.ExitKnown, said.String(), err)
		}
		if err := r.Remove(deadline(t), 461, false); err != nil {
			t.Fatal(err)
		}
		t.Logf("jem %s: started, ended and removed in %s", c.action, time.Since(began).Round(time.Millisecond))
	}
	before.compare(t, "containers on a device")
}

// ended waits for the end of a container as it was started.
func ended(t *testing.T, r *Runtime, began Observed) Observed {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	for {
		list, err := r.Observe(ctx)
		if err != nil {
			t.Fatal(err)
		}
		for _, o := range list {
			if o.CTID == began.CTID && o.State == StateExited && o.Started.Equal(began.Started) {
				return o
			}
		}
		if !run.Wait(ctx, 20*time.Millisecond) {
			t.Fatalf("container %s has not ended: %+v", began.CTID, list)
		}
	}
}

// loop makes a read-only device of a file (loop(4)), which is there until the guest ends.
func loop(t *testing.T, file string) string {
	t.Helper()
	control, err := os.OpenFile("/dev/loop-control", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer control.Close()
	n, err := unix.IoctlRetInt(int(control.Fd()), unix.LOOP_CTL_GET_FREE)
	if err != nil {
		t.Fatal(err)
	}
	back, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer back.Close()
	path := fmt.Sprintf("/dev/loop%d", n)
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	config := unix.LoopConfig{Fd: uint32(back.Fd()), Info: unix.LoopInfo64{Flags: unix.LO_FLAGS_READ_ONLY}}
	if err := unix.IoctlLoopConfigure(int(f.Fd()), &config); err != nil {
		t.Fatal(err)
	}
	return path
}

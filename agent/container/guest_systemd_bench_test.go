//go:build guest

package container

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"hardnode.dev/agent/container/cgroup"
	"hardnode.dev/agent/network"
	"hardnode.dev/agent/sys"
	"hardnode.dev/internal/filecopy"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/host"
)

// TestSystemFigures measures how long a full OS takes until its systemd says READY=1, from the same root in a user namespace and with a
// veth, beside systemd-nspawn in the same guest and the same moment. HARDNODE_BENCH is the number of runs.
func TestSystemFigures(t *testing.T) {
	var n int
	if _, err := fmt.Sscan(os.Getenv("HARDNODE_BENCH"), &n); err != nil || n < 1 {
		t.Skip("HARDNODE_BENCH is not set")
	}
	spawnerUp(t)
	r := newRuntime(t)
	hints, stop := context.WithCancel(context.Background())
	defer stop()
	go r.Run(hints)
	wires := network.New(nil, nil)
	if err := wires.Apply(deadline(t), network.State{Role: host.RoleUser, Self: "h-1"}); err != nil {
		t.Fatal(err)
	}
	tree := plainTree(t)
	for name, text := range map[string]string{"/usr/lib/os-release": "ID=guest", "/etc/os-release": "ID=guest",
		"/etc/machine-id": "0123456789abcdef0123456789abcdef"} { // what systemd-nspawn wants of its host
		if err := errors.Join(os.MkdirAll(filepath.Dir(name), 0o755), os.WriteFile(name, []byte(text+"\n"), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	var ours, theirs []time.Duration
	for i := range n + 1 { // in turn, so that both meet the same machine; the first ones fill the caches
		var a, b time.Duration
		for _, first := range []bool{i%2 == 0, i%2 != 0} { // each is first in half of the turns
			settle(t)
			if first {
				a = ourBoot(t, r, wires)
			} else {
				b = nspawnBoot(t, tree, i)
			}
		}
		if i > 0 {
			ours, theirs = append(ours, a), append(theirs, b)
		}
		fmt.Printf("run %d: hardnode %s, systemd-nspawn %s\n", i, a.Round(time.Millisecond), b.Round(time.Millisecond))
	}
	ratio := float64(at(ours, 50)) / float64(at(theirs, 50))
	fmt.Printf("FIGURE systemd container to READY, %d runs: hardnode p50 %s best %s, systemd-nspawn p50 %s best %s, "+
		"hardnode/systemd-nspawn p50 %.2f (bar %.2f)\n", n, at(ours, 50), at(ours, 0), at(theirs, 50), at(theirs, 0), ratio, bootBar)
	if ratio > bootBar {
		t.Errorf("a systemd container is READY after %.2f × what systemd-nspawn takes, want at most %.2f", ratio, bootBar)
	}
}

// bootBar is how many times as long as beside systemd-nspawn a full OS may take until it is READY.
const bootBar = 1.05

// ourBoot starts a container of the image, and removes it once it is ready.
func ourBoot(t *testing.T, r *Runtime, wires *network.Network) time.Duration {
	t.Helper()
	s := box(t, 801, "")
	s.ImagePath, s.Image.Digest = image(t, "systemd")
	s.Profile, s.Process = host.ProfileSystem, host.Process{StopAfter: 30}
	s.Limits = host.Limits{MemoryMax: 512 << 20, PIDs: 512, DiskBytes: 256 << 20}
	s.IPv4 = netip.MustParseAddr("10.99.0.1")
	s.Network = func(ctx context.Context, ns *os.File) (func(), error) {
		return wires.Attach(ctx, network.Endpoint{CTID: 801, IPv4: s.IPv4}, ns)
	}
	began := time.Now()
	if _, err := r.Start(deadline(t), s); err != nil {
		t.Fatal(err)
	}
	saysReady(t, r, 801)
	took := time.Since(began)
	if err := r.Remove(deadline(t), 801, false); err != nil {
		t.Fatal(err)
	}
	return took
}

// saysReady waits until the runtime hears that the container's systemd is ready. To look again and again takes time of the one core that is
// emulated, which systemd-nspawn's boot has for itself.
func saysReady(t *testing.T, r *Runtime, id wire.CTID) {
	t.Helper()
	late := time.After(3 * time.Minute)
	for r.boots.Boots(id) {
		select {
		case <-r.Exits(): // of something
		case <-late:
			t.Fatalf("container %s has not said that it is ready", id)
		}
	}
}

// settle waits until what was written is on the disk, and what was deleted is gone: the next boot does not meet what the last one left.
func settle(t *testing.T) {
	t.Helper()
	unix.Sync()
	if out, err := exec.Command("btrfs", "subvolume", "sync", "/data").CombinedOutput(); err != nil {
		t.Fatalf("wait for deleted subvolumes: %v: %s", err, out)
	}
}

// plainTree is the image's root as a subvolume, for systemd-nspawn, which takes no images of the kind and no overlay in a user namespace.
func plainTree(t *testing.T) string {
	t.Helper()
	file, _ := image(t, "systemd")
	tree, err := sys.NewMount("erofs", sys.ReadOnly, [2]string{"source", file}, [2]string{"ro", ""})
	if err != nil {
		t.Fatal(err)
	}
	defer tree.Close()
	from := filepath.Join(t.TempDir(), "root")
	if err := os.Mkdir(from, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := sys.Attach(tree, from); err != nil {
		t.Fatal(err)
	}
	defer sys.Detach(from)
	if out, err := exec.Command("btrfs", "subvolume", "create", "/data/plain").CombinedOutput(); err != nil {
		t.Fatalf("make subvolume: %v: %s", err, out)
	}
	r, w := io.Pipe()
	go func() {
		_, err := filecopy.Pack(w, from, filecopy.Contents, filecopy.Options{Owners: true})
		w.CloseWithError(err)
	}()
	if _, err := filecopy.Unpack(r, "/data/plain", filecopy.Contents, filecopy.Options{Owners: true, Exact: true}); err != nil {
		t.Fatal(err)
	}
	unix.Sync()
	return "/data/plain"
}

// nspawnBoot boots a snapshot of the tree, made before, and ends it once it is ready.
func nspawnBoot(t *testing.T, tree string, run int) time.Duration {
	t.Helper()
	root := tree + ".run"
	if out, err := exec.Command("btrfs", "subvolume", "snapshot", tree, root).CombinedOutput(); err != nil {
		t.Fatalf("snapshot: %v: %s", err, out)
	}
	defer func() {
		if out, err := exec.Command("btrfs", "subvolume", "delete", root).CombinedOutput(); err != nil {
			t.Fatalf("delete snapshot: %v: %s", err, out)
		}
	}()
	const socket = "/run/nspawn.notify"
	group := fmt.Sprintf("%s/nspawn%d", cgroup.Root, run) // it divides it, and can't be born in it again
	os.Remove(socket)
	l, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: socket, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if err := os.MkdirAll(group, 0o755); err != nil {
		t.Fatal(err)
	}
	dir, err := os.Open(group)
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	var said bytes.Buffer
	cmd := exec.Command("systemd-nspawn", "-q", "-U", "--network-veth", "--register=no", "--keep-unit", "--notify-ready=yes", "--boot",
		"--machine=bench", "--link-journal=no", "--resolv-conf=off", "--timezone=off", "--directory="+root)
	cmd.Env = append(os.Environ(), "NOTIFY_SOCKET="+socket)
	cmd.Stdout, cmd.Stderr = &said, &said
	cmd.SysProcAttr = &syscall.SysProcAttr{UseCgroupFD: true, CgroupFD: int(dir.Fd())}
	began := time.Now()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	over := make(chan struct{})
	go func() {
		cmd.Wait()
		l.SetReadDeadline(time.Unix(1, 0))
		close(over)
	}()
	defer func() {
		if err := cgroup.KillAll(deadline(t), group); err != nil {
			t.Error(err)
		}
		<-over
	}()
	l.SetReadDeadline(began.Add(3 * time.Minute))
	buf := make([]byte, 4096)
	for {
		n, err := l.Read(buf)
		if err != nil {
			cgroup.KillAll(deadline(t), group)
			<-over
			t.Fatalf("systemd-nspawn does not become ready: %v\n%s", err, said.String())
		}
		if strings.Contains("\n"+string(buf[:n])+"\n", "\nREADY=1\n") {
			return time.Since(began)
		}
	}
}

package mount

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"hardnode.dev/agent/sys"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/mount"
)

// TestReal: a real kernel's mount of a folder, by TLS on loopback; one process after the other asks, so that each answer is waited for: a
// /dev/fuse that is polled before it is mounted wakes nobody, and each waits for the next.
func TestReal(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("it mounts a file system: it needs root")
	}
	if _, err := os.Stat("/dev/fuse"); err != nil {
		t.Skip(err)
	}
	f := newFleet(t)
	want := mount.Mount{Name: "shared", Path: "/srv", From: 101, Host: h1, Volume: "data"}
	f.is(host.Container{CTID: 101, Shares: []mount.Share{{Volume: "data", To: 102, Host: h2}}},
		host.Container{CTID: 102, Mounts: []mount.Mount{want}})
	ctx, stop := context.WithCancel(context.Background())
	server, client := f.host(h1), f.host(h2)
	var both sync.WaitGroup
	defer func() { stop(); both.Wait() }()
	both.Go(func() { server.Run(ctx) })
	eventually(t, "nobody listens", func() bool { // then the other host takes the port of both
		conn, err := net.Dial("tcp", netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), f.port).String())
		if err == nil {
			conn.Close()
		}
		return err == nil
	})
	both.Go(func() { client.Run(ctx) })
	tree, undo, err := client.Open(t.Context(), 102, want)
	if err != nil {
		t.Fatal(err)
	}
	defer undo()
	defer tree.Close()
	at := t.TempDir()
	if err := sys.Attach(tree, at); err != nil {
		t.Fatal(err)
	}
	defer unix.Unmount(at, unix.MNT_DETACH)
	began := time.Now()
	for range 20 {
		script := "cd " + at + "; echo x >> f; cat f > /dev/null; ls"
		out, err := exec.Command("timeout", "-s", "KILL", "60", "sh", "-ec", script).CombinedOutput()
		if err != nil && strings.Contains(fmt.Sprint(client.Problems()), "another form") {
			t.Skip("handles of the test's file system: ", err)
		}
		if err != nil || string(out) != "f\n" {
			t.Fatalf("%v: %s (%v)", err, out, client.Problems())
		}
	}
	b, err := os.ReadFile(filepath.Join(f.volume, "f"))
	if err := errors.Join(err, client.o.Keeper.Drop("")); err != nil || string(b) != strings.Repeat("x\n", 20) {
		t.Errorf("the file is %q, %v", b, err)
	}
	t.Logf("20 commands in %s", time.Since(began))
}

package ready

import (
	"context"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"hardnode.dev/internal/wire"
)

func open(t *testing.T) *Board {
	t.Helper()
	dir, err := os.MkdirTemp("", "r") // a socket's path has 107 bytes at most
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	b, err := Open(dir+"/notify", nil)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func send(t *testing.T, path, text string, files ...*os.File) {
	t.Helper()
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	var oob []byte
	for _, f := range files {
		oob = append(oob, unix.UnixRights(int(f.Fd()))...)
	}
	if err := unix.Sendmsg(fd, []byte(text), oob, &unix.SockaddrUnix{Name: path}, 0); err != nil {
		t.Fatal(err)
	}
}

// TestBoots: only READY=1 of the container's first process ends its boot, and only its own.
func TestBoots(t *testing.T) {
	b := open(t)
	pid := 0
	b.first = func(p int) bool { return p == pid }
	if b.Boots(7) {
		t.Error("a container that is not waited for boots")
	}
	path, err := b.Listen(7)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.Listen(8); err != nil {
		t.Fatal(err)
	}
	send(t, path, "READY=1")
	if !b.Boots(7) {
		t.Error("another process was believed")
	}
	pid = os.Getpid()
	send(t, path, "STATUS=READY=1\nREADY=10")
	if !b.Boots(7) {
		t.Error("another message was believed")
	}
	f, err := os.Open("/dev/null")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	send(t, path, "X=1\nREADY=1\nSTATUS=Startup finished", f)
	if b.Boots(7) || !b.Boots(8) {
		t.Error("READY=1 was not heard, or of another container")
	}
	if path, err = b.Listen(7); err != nil || !b.Boots(7) {
		t.Errorf("a container that is started again does not boot: %v", err)
	}
	told := make(chan wire.CTID, 8)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- b.Run(ctx, func(id wire.CTID) { told <- id }) }()
	for range 200 { // a sender waits while the socket is full
		send(t, path, "X_SYSTEMD_UNIT_ACTIVE=basic.target")
	}
	send(t, path, "READY=1")
	select {
	case id := <-told:
		if id != 7 {
			t.Errorf("container %s became ready", id)
		}
	case <-time.After(30 * time.Second):
		t.Error("nobody was told")
	}
	cancel()
	<-done
	b.Drop(8)
	if b.Boots(8) {
		t.Error("a dropped container boots")
	}
	if list, err := os.ReadDir(b.dir); err != nil || len(list) != 0 {
		t.Errorf("left: %v %v", list, err)
	}
}

func TestFirstOfIts(t *testing.T) {
	for _, pid := range []int{os.Getpid(), 1, 1 << 30} {
		if firstOfIts(pid) {
			t.Errorf("process %d is taken for a container's first", pid)
		}
	}
}

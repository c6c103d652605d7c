package main

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"hardnode.dev/internal/logging"
)

// TestNotify plays init: it must get "ready", the descriptor under its name, and one that works.
func TestNotify(t *testing.T) {
	path := filepath.Join(t.TempDir(), "notify")
	c, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	t.Setenv("NOTIFY_SOCKET", path)
	next := func() (text string, files []int) {
		t.Helper()
		b, oob := make([]byte, 1000), make([]byte, 1000)
		c.SetReadDeadline(time.Now().Add(time.Minute))
		n, on, _, _, err := c.ReadMsgUnix(b, oob)
		if err != nil {
			t.Fatal(err)
		}
		if msgs, err := syscall.ParseSocketControlMessage(oob[:on]); err == nil {
			for _, m := range msgs {
				fds, _ := syscall.ParseUnixRights(&m)
				files = append(files, fds...)
			}
		}
		return string(b[:n]), files
	}
	n := newNotify(logging.Or(nil))
	ctx, cancel := context.WithCancel(context.Background())
	looked := make(chan struct{})
	close(looked)
	found := func() int { cancel(); return 2 }
	if err := n.run(ctx, func() bool { return true }, looked, found); err != nil {
		t.Fatal(err)
	}
	if text, _ := next(); !strings.HasPrefix(text, "READY=1\nWATCHDOG_USEC=") {
		t.Errorf("got %q, want ready and the watchdog's interval", text)
	}
	if text, _ := next(); text != "STATUS=adopted 2 running containers" {
		t.Errorf("got %q, want what it found", text)
	}
	if text, _ := next(); text != "STOPPING=1" {
		t.Errorf("got %q, want stopping", text)
	}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if err := n.Keep("identity-3", w); err != nil {
		t.Fatal(err)
	}
	w.Close()
	text, files := next()
	if text != "FDSTORE=1\nFDNAME=identity-3" || len(files) != 1 {
		t.Fatalf("got %q with %d descriptors, want the one that was kept", text, len(files))
	}
	kept := os.NewFile(uintptr(files[0]), "kept")
	kept.WriteString("hello")
	kept.Close()
	b := make([]byte, 10)
	if m, err := r.Read(b); err != nil || string(b[:m]) != "hello" {
		t.Errorf("through the kept descriptor: got %q, %v", b[:m], err)
	}
	if err := n.Drop("identity-3"); err != nil {
		t.Fatal(err)
	}
	if text, _ := next(); text != "FDSTOREREMOVE=1\nFDNAME=identity-3" {
		t.Errorf("got %q", text)
	}
}

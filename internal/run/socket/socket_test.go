package socket

import (
	"net"
	"os"
	"path/filepath"
	"testing"
)

// TestListen: a socket is for root alone, replaces what was at its path, and the one before does not take it away when it is closed.
func TestListen(t *testing.T) {
	at := filepath.Join(t.TempDir(), "s")
	for _, left := range []string{at, at + ".new"} {
		if err := os.WriteFile(left, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	first, err := Listen(at, 0)
	if err != nil {
		t.Fatal(err)
	}
	second, err := Listen(at, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer second.Close()
	first.Close()
	info, err := os.Stat(at)
	if err != nil {
		t.Fatal(err)
	}
	if got := info.Mode(); got != os.ModeSocket|0o600 {
		t.Errorf("mode %s", got)
	}
	c, err := net.Dial("unix", at)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if s, err := second.Accept(); err != nil {
		t.Error(err)
	} else {
		s.Close()
	}
	if _, err := os.Stat(at + ".new"); !os.IsNotExist(err) {
		t.Errorf("something is left aside: %v", err)
	}
}

// TestRefused: a folder that is not there is an error that names the socket.
func TestRefused(t *testing.T) {
	at := filepath.Join(t.TempDir(), "none", "s")
	if l, err := Listen(at, 0); err == nil {
		l.Close()
		t.Error("it listens in a folder that is not there")
	}
}

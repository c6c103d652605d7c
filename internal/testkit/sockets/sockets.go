// Package sockets gives tests the two ends of a connection over a Unix socket, as a program and its caller have them.
//
// Owns: nothing.
// In: the test that needs one.
// Out: two ends of one stream, that end with the test.
// Never: an address: nobody else can reach them.
package sockets

import (
	"net"
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

// Pair is one connection.
func Pair(t testing.TB) (a, b *net.UnixConn) {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	var ends [2]*net.UnixConn
	for i, fd := range fds {
		f := os.NewFile(uintptr(fd), "pair")
		c, err := net.FileConn(f)
		f.Close()
		if err != nil {
			t.Fatal(err)
		}
		ends[i] = c.(*net.UnixConn)
		t.Cleanup(func() { c.Close() })
	}
	return ends[0], ends[1]
}

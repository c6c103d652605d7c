// Package ports gives tests TCP addresses on loopback that nobody else takes: one that is to be closed for a while, or listened on again
// later. A port of the kernel's choice (":0") is no such thing: the moment its listener is closed, another test or an outgoing connection
// may be given it.
//
// Owns: ports from 20000 to 29999, below those that the kernel gives out (ip_local_port_range).
// In: the test that needs one.
// Out: 127.0.0.1 with a port that no other test has, in this process or another, until that test ends.
// Never: gives one to two tests at once.
package ports

import (
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
)

const (
	first = 20000
	count = 10000
)

// Own is an address on which nobody listens, and that is the test's own until it ends.
func Own(t testing.TB) string {
	t.Helper()
	for range count {
		n := first + rand.IntN(count)
		claim, err := net.Listen("unix", fmt.Sprintf("@hardnode-test-port-%d", n)) // in no file system: gone with the process
		if err != nil {
			continue // another test's
		}
		addr := fmt.Sprintf("127.0.0.1:%d", n)
		l, err := net.Listen("tcp", addr)
		if err != nil { // something that is no test has it
			claim.Close()
			continue
		}
		l.Close()
		t.Cleanup(func() { claim.Close() })
		return addr
	}
	t.Fatalf("none of the ports %d to %d is free", first, first+count-1)
	return ""
}

// Listen listens on an address of the test's own, which can be listened on again once the listener is closed.
func Listen(t testing.TB) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", Own(t))
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// Server is an HTTP server on an address of the test's own: once it is closed, nobody answers there. It is closed when the test ends.
func Server(t testing.TB, h http.Handler) *httptest.Server {
	t.Helper()
	s := httptest.NewUnstartedServer(h)
	s.Listener.Close()
	s.Listener = Listen(t)
	s.Start()
	t.Cleanup(s.Close)
	return s
}

package main

import (
	"net"
	"net/netip"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
)

// TestHanded: the sockets are taken by their names, in whatever order they come; a process that was given some, but not all, says which
// it wants. It is this test's own program that takes them.
func TestHanded(t *testing.T) {
	if os.Getenv("TEST_HANDED") != "" {
		os.Setenv("LISTEN_PID", strconv.Itoa(os.Getpid()))
		s, ok, err := handed()
		if err != nil {
			os.Stdout.WriteString("refused: " + err.Error() + "\n")
			os.Exit(0)
		}
		os.Stdout.WriteString(s.url(netip.MustParseAddr("127.0.0.1")) + " ")
		os.Stdout.WriteString(s.dhcp.LocalAddr().String() + " " + s.tftp.LocalAddr().String() + "\n")
		if !ok {
			os.Exit(3)
		}
		os.Exit(0)
	}
	if _, ok, err := handed(); ok || err != nil {
		t.Errorf("nothing was handed over: %v, %v", ok, err)
	}
	udp := func() *net.UDPConn {
		c, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		return c
	}
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	dhcp, boot, tftp := udp(), udp(), udp()
	run := func(names string, with ...interface{ File() (*os.File, error) }) string {
		t.Helper()
		cmd := exec.Command(os.Args[0], "-test.run=^TestHanded$")
		for _, w := range with {
			f, err := w.File()
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			cmd.ExtraFiles = append(cmd.ExtraFiles, f)
		}
		cmd.Env = append(os.Environ(), "TEST_HANDED=1", "LISTEN_FDNAMES="+names, "LISTEN_FDS="+strconv.Itoa(len(with)))
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		return strings.TrimSpace(string(out))
	}
	want := "http://" + l.Addr().String() + "/ " + dhcp.LocalAddr().String() + " " + tftp.LocalAddr().String()
	if got := run("tftp:http:dhcp:boot", tftp, l.(*net.TCPListener), dhcp, boot); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := run("tftp:http:dhcp", tftp, l.(*net.TCPListener), dhcp); !strings.Contains(got, "some are missing") {
		t.Errorf("without one: %q", got)
	}
	if got := run("http:tftp:dhcp:boot", tftp, l.(*net.TCPListener), dhcp, boot); !strings.Contains(got, `take socket "http"`) {
		t.Errorf("one under another's name: %q", got)
	}
}

//go:build guest

package sample

import (
	"fmt"
	"net"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
)

// TestScenario plays the part the outer test of the harness gives it.
func TestScenario(t *testing.T) {
	switch os.Getenv("SCENARIO") {
	case "write": // and wait for the power cut
		f, err := os.Create("/data/kept")
		if err != nil {
			t.Fatal(err)
		}
		f.WriteString("still here")
		if err := f.Sync(); err != nil {
			t.Fatal(err)
		}
		fmt.Println("written")
		select {}
	case "read":
		if b, err := os.ReadFile("/data/kept"); err != nil || string(b) != "still here" {
			t.Fatalf("got %q, %v", b, err)
		}
	case "hang":
		fmt.Println("hanging")
		<-time.After(time.Hour)
	case "panic":
		if err := os.WriteFile("/proc/sysrq-trigger", []byte("c"), 0o200); err != nil {
			t.Fatal(err)
		}
	case "answer", "ask":
		network(t, os.Getenv("ADDR"))
		c, err := net.ListenPacket("udp4", os.Getenv("ADDR")+":99")
		if err != nil {
			t.Fatal(err)
		}
		b := make([]byte, 100)
		if os.Getenv("SCENARIO") == "answer" {
			for {
				n, from, err := c.ReadFrom(b)
				if err != nil {
					t.Fatal(err)
				}
				c.WriteTo(append([]byte("re: "), b[:n]...), from)
			}
		}
		peer := &net.UDPAddr{IP: net.ParseIP(os.Getenv("PEER")), Port: 99}
		for i := 0; ; i++ { // one line for every answer, until the power is cut
			c.WriteTo(fmt.Appendf(nil, "%d", i), peer)
			c.SetReadDeadline(time.Now().Add(200 * time.Millisecond))
			if n, _, err := c.ReadFrom(b); err == nil {
				fmt.Printf("answer %s\n", b[:n])
				<-time.After(50 * time.Millisecond)
			}
		}
	default:
		t.Skip("plays a part only when asked to")
	}
}

func network(t *testing.T, addr string) {
	l, err := netlink.LinkByName("eth0")
	if err != nil {
		t.Fatal(err)
	}
	a, err := netlink.ParseAddr(addr + "/24")
	if err != nil {
		t.Fatal(err)
	}
	if err := netlink.AddrAdd(l, a); err != nil && err != syscall.EEXIST {
		t.Fatal(err)
	}
	if err := netlink.LinkSetUp(l); err != nil {
		t.Fatal(err)
	}
}

package limit

import (
	"fmt"
	"io"
	"net"
	"net/netip"
	"testing"
	"time"
)

func TestGate(t *testing.T) {
	a := netip.MustParseAddr
	g := &Gate{All: 5, Each: 2, Exempt: func(x netip.Addr) bool { return x == a("192.0.2.1") }}
	var leave []func()
	for _, c := range []struct {
		from string
		ok   bool
	}{
		{"198.51.100.1", true}, {"::ffff:198.51.100.1", true}, {"198.51.100.1", false}, // one address in two spellings
		{"2001:db8::1", true}, {"2001:db8::2:1", true}, {"2001:db8:0:0:ffff::", false}, // one /64
		{"192.0.2.1", true}, {"192.0.2.1", false}, // exempt from Each, not from All
	} {
		l, ok := g.Enter(a(c.from))
		if ok != c.ok {
			t.Errorf("%s: got %v, want %v", c.from, ok, c.ok)
		}
		if ok {
			leave = append(leave, l)
		}
	}
	if g.Held() != 5 || g.Refused() != 3 {
		t.Errorf("held %d, refused %d; want 5 and 3", g.Held(), g.Refused())
	}
	for _, l := range leave {
		l()
		l() // counts once
	}
	if g.Held() != 0 || len(g.by) != 0 {
		t.Errorf("after all left: held %d, %v", g.Held(), g.by)
	}
	if _, ok := (&Gate{}).Enter(netip.Addr{}); !ok {
		t.Error("a gate without limits refused")
	}
}

// TestListener: a connection too many is closed at once, and a place that is free again can be had.
func TestListener(t *testing.T) {
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := Listener(inner, &Gate{Each: 2})
	defer l.Close()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				fmt.Fprint(c, "x")
				io.Copy(io.Discard, c)
			}()
		}
	}()
	served := func(c net.Conn) bool {
		if c == nil {
			return false
		}
		c.SetReadDeadline(time.Now().Add(10 * time.Second))
		_, err := c.Read(make([]byte, 1))
		return err == nil
	}
	dial := func() net.Conn {
		c, err := net.Dial("tcp", inner.Addr().String())
		if err != nil {
			return nil // reset already
		}
		t.Cleanup(func() { c.Close() })
		return c
	}
	one, two, three := dial(), dial(), dial()
	if !served(one) || !served(two) || served(three) {
		t.Fatal("want two connections served and the third closed")
	}
	one.Close()
	for deadline := time.Now().Add(10 * time.Second); !served(dial()); { // the server sees the end a moment later
		if time.Now().After(deadline) {
			t.Fatal("the place of a connection that ended can't be had")
		}
	}
}

// TestKey: who counts as one client, as net.Conn and http.Request name addresses.
func TestKey(t *testing.T) {
	for from, want := range map[string]string{
		"192.0.2.7:80":               "192.0.2.7",
		"[::ffff:192.0.2.7]:80":      "192.0.2.7",
		"[2001:db8:1:2:3::4]:80":     "2001:db8:1:2::",
		"[2001:db8:1:2:ffff::9]:443": "2001:db8:1:2::",
		"[fe80::1%eth0]:443":         "fe80::",
		"@":                          "invalid IP",
		"":                           "invalid IP",
	} {
		if got := Key(Addr(from)).String(); got != want {
			t.Errorf("%q counts as %s, want %s", from, got, want)
		}
	}
}

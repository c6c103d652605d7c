package ether

import (
	"bytes"
	"net"
	"testing"
	"time"
)

// cable plugs one end into the switch and returns the other.
func cable(t *testing.T, s *Switch, name string) net.Conn {
	t.Helper()
	near, far := net.Pipe()
	p := s.Connect(name, far)
	t.Cleanup(p.Close)
	t.Cleanup(func() { near.Close() })
	return near
}

func frame(dst, src byte, body string) []byte {
	f := make([]byte, 14, 64)
	f[0], f[5] = 0x52, dst
	if dst == 0xff {
		copy(f, bytes.Repeat([]byte{0xff}, 6))
	}
	f[6], f[11] = 0x52, src
	return append(f, body...)
}

func send(t *testing.T, c net.Conn, f []byte) {
	t.Helper()
	c.SetDeadline(time.Now().Add(5 * time.Second))
	if err := writeFrame(c, f); err != nil {
		t.Fatal(err)
	}
}

// want reads the next frame and compares its body; "" wants silence.
func want(t *testing.T, c net.Conn, body string) {
	t.Helper()
	limit := 5 * time.Second
	if body == "" {
		limit = 50 * time.Millisecond
	}
	c.SetReadDeadline(time.Now().Add(limit))
	f, err := readFrame(c)
	switch {
	case body == "" && err == nil:
		t.Fatalf("got a frame %q, want none", f[14:])
	case body != "" && err != nil:
		t.Fatalf("got %v, want frame %q", err, body)
	case body != "" && string(f[14:]) != body:
		t.Fatalf("got frame %q, want %q", f[14:], body)
	}
}

func TestSwitchLearns(t *testing.T) {
	s := NewSwitch()
	a, b, c := cable(t, s, "a"), cable(t, s, "b"), cable(t, s, "c")
	send(t, a, frame(2, 1, "flood"))
	want(t, b, "flood")
	want(t, c, "flood")
	send(t, b, frame(1, 2, "back"))
	want(t, a, "back")
	want(t, c, "")
	send(t, a, frame(2, 1, "direct"))
	want(t, b, "direct")
	want(t, c, "")
	send(t, c, frame(0xff, 3, "all"))
	want(t, a, "all")
	want(t, b, "all")
	if n := s.Counts("a"); n.FramesIn != 2 || n.FramesOut != 2 {
		t.Errorf("port a counted %+v, want 2 in and 2 out", n)
	}
}

func TestSwitchCutHealDropDelay(t *testing.T) {
	s := NewSwitch()
	a, b, c := cable(t, s, "a"), cable(t, s, "b"), cable(t, s, "c")
	s.Cut("a", "b")
	send(t, a, frame(0xff, 1, "half"))
	want(t, c, "half")
	want(t, b, "")
	s.Heal("b", "a")
	send(t, a, frame(0xff, 1, "whole"))
	want(t, b, "whole")
	want(t, c, "whole")
	s.Cut("c", "*")
	send(t, c, frame(0xff, 3, "alone"))
	want(t, a, "")
	s.Heal("c", "*")
	s.Drop(func(from, to string, f []byte) bool { return to == "b" && bytes.HasSuffix(f, []byte("bad")) })
	send(t, a, frame(2, 1, "bad"))
	want(t, c, "bad") // b's address isn't learned yet, so it is flooded
	want(t, b, "")
	s.Drop(nil)
	s.Delay("b", 80*time.Millisecond)
	begin := time.Now()
	send(t, a, frame(0xff, 1, "late"))
	want(t, c, "late")
	want(t, b, "late")
	if took := time.Since(begin); took < 80*time.Millisecond {
		t.Errorf("the delayed frame came after %v, want at least 80ms", took)
	}
	if n := s.Counts("b").Dropped; n != 3 {
		t.Errorf("port b lost %d frames, want 3 (half, alone, bad)", n)
	}
}

func TestSwitchPortIsReplaced(t *testing.T) {
	s := NewSwitch()
	a, b := cable(t, s, "a"), cable(t, s, "b")
	send(t, b, frame(0xff, 2, "here"))
	want(t, a, "here")
	b2 := cable(t, s, "b") // the VM was started again: its address must be found on the new cable
	send(t, a, frame(2, 1, "again"))
	want(t, b2, "again")
	if _, err := b.Write([]byte{0}); err == nil {
		t.Error("the old cable still takes data")
	}
}

func TestSwitchRefusesBadLength(t *testing.T) {
	s := NewSwitch()
	a := cable(t, s, "a")
	a.SetDeadline(time.Now().Add(5 * time.Second))
	if _, err := a.Write([]byte{0xff, 0xff, 0xff, 0xff}); err != nil {
		t.Fatal(err)
	}
	if _, err := a.Read(make([]byte, 1)); err == nil {
		t.Error("the port lives on after a frame of 4 GiB was announced")
	}
}

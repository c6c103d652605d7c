package host

import (
	"bytes"
	"testing"
)

func TestFrameRoundTrip(t *testing.T) {
	c, p, err := ParseFrame(Frame(ChanStderr, []byte("abc")))
	if c != ChanStderr || string(p) != "abc" || err != nil {
		t.Errorf("got %v %q %v", c, p, err)
	}
	rows, cols, err := ParseResize(ResizePayload(24, 80))
	if rows != 24 || cols != 80 || err != nil {
		t.Errorf("got %d %d %v", rows, cols, err)
	}
	c, more, err := ParseWindow(WindowPayload(ChanStderr, 70000))
	if c != ChanStderr || more != 70000 || err != nil {
		t.Errorf("got %d %d %v", c, more, err)
	}
	for _, bad := range [][]byte{nil, {1, 0, 0, 0}, WindowPayload(ChanStdout, 0), WindowPayload(ChanStdout, MaxWindow+1),
		WindowPayload(ChanResize, 1), WindowPayload(ChanWindow, 1), {1, 0, 0, 0, 1, 0}} {
		if c, more, err := ParseWindow(bad); err == nil {
			t.Errorf("window %x was taken as %d bytes on channel %d", bad, more, c)
		}
	}
}

func FuzzParseFrame(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte{9})
	f.Add(Frame(ChanStdin, bytes.Repeat([]byte("x"), MaxFrame+1)))
	f.Add(Frame(ChanExit, ExitPayload(Exit{Code: 3})))
	f.Fuzz(func(t *testing.T, msg []byte) {
		c, p, err := ParseFrame(msg)
		if err == nil && (c > ChanAlive || len(p) > MaxFrame || !bytes.Equal(Frame(c, p), msg)) {
			t.Errorf("%x was taken apart as %d %x", msg, c, p)
		}
	})
}

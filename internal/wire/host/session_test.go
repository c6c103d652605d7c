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
}

func FuzzParseFrame(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte{9})
	f.Add(Frame(ChanStdin, bytes.Repeat([]byte("x"), MaxFrame+1)))
	f.Add(Frame(ChanExit, ExitPayload(Exit{Code: 3})))
	f.Fuzz(func(t *testing.T, msg []byte) {
		c, p, err := ParseFrame(msg)
		if err == nil && (c > ChanExit || len(p) > MaxFrame || !bytes.Equal(Frame(c, p), msg)) {
			t.Errorf("%x was taken apart as %d %x", msg, c, p)
		}
	})
}

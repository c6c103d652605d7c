package boot

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

// TestReadShutdown: without the file the machine stays; with it, whole or not, it is being left: a torn note must not leave containers
// running.
func TestReadShutdown(t *testing.T) {
	at := filepath.Join(t.TempDir(), "shutdown")
	if s, err := ReadShutdown(at); s != nil || err != nil {
		t.Errorf("no file: %+v, %v", s, err)
	}
	for text, want := range map[string]Shutdown{
		`{"what":"reboot","reason":"power button"}`:                {What: "reboot", Reason: "power button"},
		`{"what":"reboot","reason":"power button","beganMs":7000}`: {What: "reboot", Reason: "power button", Began: 7000},
		`{"what":"reb`: {What: "shutdown", Reason: "unknown"},
		``:             {What: "shutdown", Reason: "unknown"},
	} {
		if err := os.WriteFile(at, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if s, err := ReadShutdown(at); err != nil || s == nil || *s != want {
			t.Errorf("%q: got %+v, %v; want %+v", text, s, err, want)
		}
	}
	if s, err := ReadShutdown(t.TempDir()); err == nil || s != nil {
		t.Errorf("what can't be read: %+v, %v", s, err)
	}
}

// Whoever takes up an end that another one has begun has what is left of its time, never more than all and never less than none.
func TestShutdownLeft(t *testing.T) {
	for _, c := range []struct{ began, uptime, want time.Duration }{
		{100 * time.Second, 100 * time.Second, StopContainers},
		{100 * time.Second, 130 * time.Second, StopContainers - 30*time.Second},
		{100 * time.Second, 100*time.Second + StopContainers, 0},
		{100 * time.Second, time.Hour, 0},
		{100 * time.Second, 99 * time.Second, StopContainers}, // not of this boot's clock
		{0, time.Hour, StopContainers},                        // not known
		{1 << 62, time.Hour, StopContainers},
	} {
		if got := (Shutdown{Began: c.began.Milliseconds()}).Left(c.uptime); got != c.want {
			t.Errorf("began at %s, now %s: got %s, want %s", c.began, c.uptime, got, c.want)
		}
	}
}

package boot

import (
	"os"
	"path/filepath"
	"testing"
)

// TestReadShutdown: without the file the machine stays; with it, whole or not, it is being left: a torn note must not leave containers running.
func TestReadShutdown(t *testing.T) {
	at := filepath.Join(t.TempDir(), "shutdown")
	if s, err := ReadShutdown(at); s != nil || err != nil {
		t.Errorf("no file: %+v, %v", s, err)
	}
	for text, want := range map[string]Shutdown{
		`{"what":"reboot","reason":"power button"}`: {"reboot", "power button"},
		`{"what":"reb`: {"shutdown", "unknown"},
		``:             {"shutdown", "unknown"},
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

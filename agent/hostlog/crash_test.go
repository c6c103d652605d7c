package hostlog

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"hardnode.dev/internal/wire/host"
)

// TestCrash: what a kernel said last is shown with its time and can't steer a terminal; none is said to be none.
func TestCrash(t *testing.T) {
	l := Logs{Crash: filepath.Join(t.TempDir(), "crash.txt")}
	err := l.Read(t.Context(), host.HostLogsSpec{Unit: host.UnitCrash}, func([]byte) error { return nil })
	if err == nil || !strings.Contains(err.Error(), "no kernel of this host panicked") {
		t.Errorf("none: %v", err)
	}
	if err := os.WriteFile(l.Crash, []byte("<6>[    1.0] one\n<0>[    1.1] Kernel panic \x1b[2J\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	at := time.Unix(1000, 0)
	if err := os.Chtimes(l.Crash, at, at); err != nil {
		t.Fatal(err)
	}
	want := "what the kernel said last, found 1970-01-01T00:16:40Z:|<6>[    1.0] one|<0>[    1.1] Kernel panic ?[2J"
	if got := read1(t, l, host.HostLogsSpec{Unit: host.UnitCrash}); got != want {
		t.Errorf("got %q", got)
	}
}

package console

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestActive(t *testing.T) {
	if got, want := Active("tty0 ttyS0\n"), []string{"tty1", "ttyS0"}; !reflect.DeepEqual(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestAbsentTerminalsAreNamedAndLinesReachTheKernelLog(t *testing.T) {
	dir := t.TempDir()
	log := filepath.Join(dir, "kmsg")
	for _, f := range []string{log, filepath.Join(dir, "ttyS9")} { // ttyS9: something that opens but is no terminal
		if err := os.WriteFile(f, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	c := &Console{Uptime: func() time.Duration { return 1234 * time.Millisecond }}
	if err := c.Kmsg(log); err != nil {
		t.Fatal(err)
	}
	if got, want := c.Use(dir, []string{"ttyS9", "hvc0"}), []string{"ttyS9", "hvc0"}; !reflect.DeepEqual(got, want) {
		t.Errorf("absent %q, want %q", got, want)
	}
	c.Line("step %s", strings.Repeat("x", 2000))
	got, err := os.ReadFile(log)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(string(got), "<6>hardnode: step xxx") || len(got) > 1000 {
		t.Errorf("kernel log has %d bytes: %.40q", len(got), got)
	}
}

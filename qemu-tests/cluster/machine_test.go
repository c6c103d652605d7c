package cluster

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/qemu-tests/harness"
)

// TestLostMachineIsTheReason: a machine that ends or panics ends the wait for another one, and the error names the machine that failed,
// why, and its log.
func TestLostMachineIsTheReason(t *testing.T) {
	for _, fake := range []struct {
		name, qemu, why string
		is              error
	}{
		{"QEMU ends", "echo no such machine type >&2; exit 1", "the VM has ended: qemu: exit status 1 no such machine type",
			harness.ErrEnded},
		{"the kernel panics", "echo 'Kernel panic - not syncing: no root'; exec sleep 600",
			"the guest's kernel panicked: Kernel panic - not syncing: no root", harness.ErrPanic},
	} {
		t.Run(fake.name, func(t *testing.T) {
			bin := t.TempDir()
			if err := os.WriteFile(filepath.Join(bin, harness.Program), []byte("#!/bin/sh\n"+fake.qemu+"\n"), 0o755); err != nil {
				t.Fatal(err)
			}
			t.Setenv("PATH", bin+":"+os.Getenv("PATH"))
			c, err := prepare(t.Context(), Options{Dir: t.TempDir()})
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			for _, name := range []string{"host-1", "host-2"} {
				c.Hosts = append(c.Hosts, &Machine{Name: name, c: c,
					cfg: harness.Config{Name: name, MemMiB: 64, Dir: filepath.Join(c.Dir, "logs"), Timeout: -1}})
			}
			if err := c.Hosts[0].Boot(); err != nil {
				t.Fatal(err)
			}
			_, waited := c.WaitHost(t.Context(), "host-2", time.Minute, func(operator.Host) bool { return false })
			if !errors.Is(waited, fake.is) {
				t.Fatalf("the wait for host-2: got %v, want that it ends with host-1", waited)
			}
			got := c.reason(waited).Error()
			if !strings.HasPrefix(got, "machine host-1: "+fake.why+"\nlast lines of "+c.Hosts[0].Log()) || strings.Contains(got, "host-2") {
				t.Errorf("got %q, want host-1, why and its log, and nothing of host-2", got)
			}
			c.Hosts[0].Kill()
			if other := errors.New("other"); c.reason(other) != other {
				t.Error("a machine that was switched off is taken for the reason")
			}
		})
	}
}

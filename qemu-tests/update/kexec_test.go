//go:build qemu

package update

import (
	"os"
	"strings"
	"testing"
	"time"

	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/internal/wire/slots"
	"hardnode.dev/qemu-tests/cluster"
	"hardnode.dev/qemu-tests/patched"
)

// firmware is what it says when it starts the loader: a system that was started by another kernel has no such line before it.
const firmware = "BdsDxe: starting "

// TestKexec: an installed host's kernel starts another release without the firmware, and it is committed; one whose PID 1 ends at once is
// gone back from by firmware and loader, which count it as tried. A reboot either way, for comparison; another host takes the release from
// it.
func TestKexec(t *testing.T) {
	if os.Getenv("HARDNODE_SOAK") == "" {
		t.Skip("HARDNODE_SOAK is not set: two more images are built and a host is installed; `make soak PKG=./qemu-tests/update` does it")
	}
	c := patched.Start(t, cluster.Options{Hosts: 2})
	c.Import(t, next, patched.OneFunction...)
	c.Import(t, bad, patched.NoSystem...)
	active := func(before string) operator.Host {
		t.Helper()
		h, err := c.WaitHost(t.Context(), "host-1", 10*time.Minute, func(h operator.Host) bool {
			return h.State == operator.HostActive && h.Boot != before
		})
		if err != nil {
			t.Fatal(err)
		}
		return h
	}
	// console is what the host's console said since the last call.
	said := 0
	console := func() string {
		t.Helper()
		raw, err := os.ReadFile(c.Machine("host-1").Log())
		if err != nil {
			t.Fatal(err)
		}
		news := string(raw[said:])
		said = len(raw)
		return news
	}
	was := active("")
	console()

	t.Run("good", func(t *testing.T) {
		began := time.Now()
		if out, err := c.Run("host", "update", "host-1", "--release", next, "--kexec", "--reason", "a test", "--yes", "--wait",
			"--timeout", "25m"); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		t.Logf("figure: kexec: ordered → committed %s", time.Since(began).Round(time.Second))
		if s := c.System(t, "host-1"); s.State != host.SystemDone || s.Release != next || s.Slot != slots.B {
			t.Errorf("at the end: %+v", s)
		}
		h := active(was.Boot)
		if h.Version != next || len(h.Boots) == 0 || !strings.Contains(h.Boots[0].Words(), "kexec") ||
			!strings.Contains(h.Boots[0].Words(), "release "+next+": a test") {
			t.Errorf("the host is %+v", h)
		}
		t.Logf("its boot: %s", h.Boots[0].Words())
		if news := console(); strings.Contains(news, firmware) {
			t.Errorf("the firmware started it:\n%s", news)
		}
		out, err := c.Run("host", "slots", "host-1")
		t.Logf("slots afterwards: %v\n%s", err, out)
		logs, err := c.Run("host", "logs", "host-1", "--unit", "agent")
		if err != nil || !strings.Contains(logs, "a smoke container ran and ended well") {
			t.Errorf("no smoke container ran: %v", err)
		}
		was = h
	})
	t.Run("blocks of another host", func(t *testing.T) {
		began := time.Now()
		if out, err := c.Run("host", "update", "host-2", "--release", next, "--stage", "--wait", "--timeout", "15m"); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		logs, err := c.Run("host", "logs", "host-2", "--unit", "agent")
		i := strings.Index(logs, "blocks from another host")
		if err != nil || i < 0 {
			t.Fatalf("host-2 took nothing from host-1: %v\n%s", err, logs)
		}
		line, _, _ := strings.Cut(logs[i:], "\n")
		t.Logf("figure: host-2 staged what host-1 runs in %s: %s", time.Since(began).Round(time.Second), line)
		if !strings.Contains(line, "name=host-1") || strings.Contains(line, "bytes=0 ") || strings.Contains(line, "err=") {
			t.Errorf("it says %q", line)
		}
	})
	for _, by := range []string{"kexec", "firmware"} {
		t.Run("reboot by "+by, func(t *testing.T) {
			args := []string{"host", "reboot", "host-1", "--reason", "a test", "--yes"}
			if by == "kexec" {
				args = append(args, "--kexec")
			}
			began := time.Now()
			if out, err := c.Run(args...); err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			h := active(was.Boot)
			t.Logf("figure: reboot by %s: ordered → ACTIVE again %s", by, time.Since(began).Round(time.Second))
			if news := console(); strings.Contains(news, firmware) == (by == "kexec") {
				t.Errorf("by the firmware: %v:\n%s", by == "kexec", news)
			}
			if h.Version != next {
				t.Errorf("it runs %s", h.Version)
			}
			was = h
		})
	}
	t.Run("bad", func(t *testing.T) {
		began := time.Now()
		_, err := c.Run("host", "update", "host-1", "--release", bad, "--kexec", "--yes", "--wait", "--timeout", "25m")
		if err == nil || !strings.Contains(err.Error(), "failed "+bad) {
			t.Fatalf("the bad release: %v", err)
		}
		t.Logf("figure: kexec: a release whose PID 1 ends: ordered → back in the old one %s: %v", time.Since(began).Round(time.Second),
			err)
		if h := active(was.Boot); h.Version != next {
			t.Errorf("it runs %s", h.Version)
		}
		if s := c.System(t, "host-1"); s.State != host.SystemFailed || s.Release != next || s.Slot != slots.B {
			t.Errorf("at the end: %+v", s)
		}
		news := console()
		if n := strings.Count(news, firmware); n != 1 || !strings.Contains(news, "Attempted to kill init") {
			t.Errorf("the firmware started %d systems, want the good one:\n%s", n, news)
		}
	})
}

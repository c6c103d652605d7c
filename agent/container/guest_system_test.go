//go:build guest

package container

import (
	"context"
	"os"
	"strings"
	"testing"
	"time"

	"hardnode.dev/internal/run"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/jem"
)

// TestSystem boots a full OS and asks it how it is, through JEM and D-Bus.
func TestSystem(t *testing.T) {
	if _, err := os.Stat("/images/systemd.erofs"); err != nil {
		t.Skip("the guest has no image with systemd")
	}
	spawnerUp(t)
	r := newRuntime(t)
	s := box(t, 801, "")
	s.ImagePath, s.Image.Digest = image(t, "systemd")
	s.Profile, s.Process = host.ProfileSystem, host.Process{StopAfter: 30}
	s.Limits = host.Limits{MemoryMax: 512 << 20, PIDs: 512, DiskBytes: 256 << 20}
	began := time.Now()
	mustStart(t, r, s)
	state := ""
	for range 120 {
		if state, _ = sh(t, r, 801, "systemctl is-system-running 2>/dev/null"); state == "running" || state == "degraded" {
			break
		}
		run.Wait(context.Background(), 500*time.Millisecond)
	}
	failed, _ := sh(t, r, 801, "systemctl --failed --no-legend --plain; systemctl list-jobs --no-legend")
	t.Logf("%s after %s", state, time.Since(began).Round(100*time.Millisecond))
	if state != "running" {
		why, _ := sh(t, r, 801, "journalctl -q --no-pager -p warning | tail -n 30")
		t.Errorf("the system is %s: %s\n%s", state, failed, why)
	}
	out, code := sh(t, r, 801, "/run/hardnode/jem service status")
	reply, err := jem.Decode([]byte(out))
	if err != nil || code != 0 || reply.Init != jem.InitSystemd || len(reply.Services) < 5 {
		t.Errorf("status: %d %v %+v", code, err, reply)
	}
	out, code = sh(t, r, 801, "/run/hardnode/jem service logs systemd-journald --tail 5")
	if reply, err := jem.Decode([]byte(out)); err != nil || code != 0 || len(reply.Lines) == 0 {
		t.Errorf("logs: %d %v %s", code, err, out)
	}
	if out, code = sh(t, r, 801, "/run/hardnode/jem service status no-such-unit"); code != 1 || !strings.Contains(out, "not_found") {
		t.Errorf("status of nothing: %d %s", code, out)
	}
	if got, _ := sh(t, r, 801, "cat /proc/1/comm; cat /proc/1/cgroup; grep CapBnd /proc/self/status"); !strings.HasPrefix(got, "systemd\n0::/init.scope\n") {
		t.Errorf("inside: %q", got)
	}
	began = time.Now()
	if err := r.Stop(deadline(t), 801); err != nil {
		t.Fatal(err)
	}
	if d := time.Since(began); d > 25*time.Second {
		t.Errorf("an orderly stop took %v", d)
	}
	if o := waitState(t, r, 801, StateStopped); o.PID != 0 {
		t.Errorf("observed %+v", o)
	}
}

//go:build guest

package smart

import (
	"strings"
	"testing"
	"time"

	"hardnode.dev/internal/wire/smart"
)

// TestDisks: real disks, as far as QEMU's are, tell their health: two of NVMe, of which one says that it is broken, SATA, SCSI, virtio.
func TestDisks(t *testing.T) {
	k := New(Options{Sys: "/sys", Dev: "/dev", Errors: func() map[string]int64 { return Errors("/data") },
		Mirrored: func() bool { return false }})
	k.wait = time.Minute
	want := map[string]string{ // by serial number: how its line begins
		"sound":  "good, 0 % worn, ",
		"broken": "failing, errors make it unreliable; it takes no writes any more, ",
		"sata":   "good, ", "scsi": "unknown, no health information", "data": "unknown, no health information",
	}
	var disks []smart.Health
	for end := time.Now().Add(time.Minute); len(disks) < len(want) && time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		disks = k.look(t.Context(), time.Now()) // SATA links come up by and by
	}
	for _, d := range disks {
		t.Logf("%s %s %s: %s", d.Path, d.Model, d.Serial, d.Line())
		if start, ok := want[d.Serial]; !ok || !strings.HasPrefix(d.Line(), start) {
			t.Errorf("%s (%s): %s, want %q", d.Path, d.Serial, d.Line(), start)
		}
		delete(want, d.Serial)
		if (d.Serial == "sound" || d.Serial == "sata") && (d.Celsius < 10 || d.Celsius > 90) {
			t.Errorf("%s has %d °C", d.Path, d.Celsius)
		}
	}
	if len(want) > 0 {
		t.Errorf("not there: %v", want)
	}
	if ps := k.Problems(); len(ps) != 1 || !strings.Contains(ps[0].Object, "broken") {
		t.Errorf("the problems are %+v", ps)
	}
}

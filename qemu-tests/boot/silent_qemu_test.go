//go:build qemu

package boot

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"hardnode.dev/qemu-tests/harness"
	"hardnode.dev/qemu-tests/harness/nbd"
)

// TestSilentDisk: the host's only disk stops answering. Whoever waits for it can't be interrupted, the kernel's own end among them: the
// machine is reset all the same, within the bounds of its way out.
func TestSilentDisk(t *testing.T) {
	if os.Getenv("HARDNODE_SOAK") == "" {
		t.Skip("HARDNODE_SOAK is not set: the bounds are waited for; `make soak PKG=./qemu-tests/boot RUN=TestSilentDisk` does that")
	}
	dir := harness.Dir(t)
	path := filepath.Join(dir, "disk")
	f, err := os.Create(path)
	if err == nil {
		err = f.Truncate(1 << 30)
	}
	if err != nil {
		t.Fatal(err)
	}
	f.Close()
	disk, err := nbd.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer disk.Close()
	c := machine(t, dir, config)
	c.Timeout = 10 * time.Minute * harness.Scale()
	c.Disks = []harness.Disk{{Bus: harness.SCSI, Cut: disk}}
	h := start(t, c)
	h.up()
	h.sees(`step container modules:`)
	h.mark = h.VM.Console.Mark()
	still := disk.StandStill(0)
	if err := h.VM.Button(t.Context()); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	select {
	case <-still:
	case <-time.After(patience()):
		t.Fatal("nobody writes to the disk")
	}
	h.sees(`poweroff: power button`)
	// a minute for all of it, thirty seconds each for the kernel's two ways to power off: the machine's own clock may be slow
	end := began.Add(3 * time.Minute * harness.Scale())
	for _, line := range []string{`keep why the machine is left: not done after`, `sync: not done after`, `poweroff: power off: not done after 30s`,
		`poweroff: power off by sysrq: not done after 30s`, `sysrq: Resetting`} {
		h.sees(line)
		t.Logf("%q: %s after the button", line, time.Since(began).Round(time.Second))
	}
	if time.Now().After(end) {
		t.Errorf("it took %s", time.Since(began))
	}
}

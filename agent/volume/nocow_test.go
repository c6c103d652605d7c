package volume

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"hardnode.dev/internal/disk/btrfs"
	"hardnode.dev/internal/wire"
)

// loops are block devices of files.
func loops(t *testing.T, n int) (devices []string) {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("it mounts a file system: it needs root")
	}
	for range n {
		f, err := os.CreateTemp(t.TempDir(), "disk")
		if err != nil {
			t.Fatal(err)
		}
		if err := f.Truncate(512 << 20); err != nil {
			t.Fatal(err)
		}
		f.Close()
		out, err := exec.Command("losetup", "--find", "--show", f.Name()).Output()
		if err != nil {
			t.Skip("losetup: ", err)
		}
		device := strings.TrimSpace(string(out))
		t.Cleanup(func() { exec.Command("losetup", "--detach", device).Run() })
		devices = append(devices, device)
	}
	return devices
}

func need(t *testing.T, argv ...string) {
	t.Helper()
	if out, err := exec.Command(argv[0], argv[1:]...).CombinedOutput(); err != nil {
		t.Skipf("%s: %v: %s", argv, err, out)
	}
}

// TestWriteInPlace: a database's volume is written in place on one disk, and never where data lies on two, whose copies could differ:
// without checksums nobody could tell which one is right.
func TestWriteInPlace(t *testing.T) {
	for name, c := range map[string]struct {
		disks  int
		layout []string
		gone   bool // the second one is not there any more
		want   bool
	}{
		"one disk":             {disks: 1, want: true},
		"two that mirror":      {disks: 2, layout: []string{"-d", "raid1", "-m", "raid1"}},
		"one of them":          {disks: 2, layout: []string{"-d", "raid1", "-m", "raid1"}, gone: true},
		"on the way to mirror": {disks: 2, layout: []string{"-d", "single", "-m", "raid1"}},
	} {
		t.Run(name, func(t *testing.T) {
			devices := loops(t, c.disks)
			last, at := devices[len(devices)-1], filepath.Join(t.TempDir(), "data")
			if err := os.Mkdir(at, 0o755); err != nil {
				t.Fatal(err)
			}
			need(t, append(append([]string{"mkfs.btrfs", "-q"}, c.layout...), devices...)...)
			options := "device=" + last
			if c.gone {
				need(t, "wipefs", "-aq", last)
				options = "degraded"
			}
			need(t, "mount", "-o", options, devices[0], at)
			defer exec.Command("umount", at).Run()
			s, err := Open(at)
			if err != nil {
				t.Skip(err)
			}
			dir, made, err := s.Volume(t.Context(), wire.CTID(101), Wanted{Name: "data", Bytes: 64 << 20, NoCOW: true})
			if err != nil || !made {
				t.Fatal(made, err)
			}
			defer dir.Close()
			if got, err := btrfs.NoCOW(dir); got != c.want || err != nil {
				t.Errorf("written in place: %v (%v), want %v", got, err, c.want)
			}
		})
	}
}

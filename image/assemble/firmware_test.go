package assemble

import (
	"bytes"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"testing"

	"hardnode.dev/image/debian"
)

func TestFirmwareFiles(t *testing.T) {
	dir := t.TempDir()
	a, b, outside := filepath.Join(dir, "a"), filepath.Join(dir, "b"), filepath.Join(dir, "outside.bin")
	for _, f := range []string{filepath.Join(a, "lib/firmware/x/one.bin"), filepath.Join(b, "lib/firmware/two-1.0.bin"), outside} {
		if err := os.MkdirAll(filepath.Dir(f), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(f, []byte(f), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for link, to := range map[string]string{"two.bin": "two-1.0.bin", "out.bin": outside, "up.bin": "../../../outside.bin"} {
		if err := os.Symlink(to, filepath.Join(b, "lib/firmware", link)); err != nil {
			t.Fatal(err)
		}
	}
	wanted := map[string][]string{"x/one.bin": {"m"}, "two.bin": {"m"}, "out.bin": {"m"}, "up.bin": {"m"}, "none.bin": {"m", "n"}}
	files, missing, err := firmwareFiles([]string{a, b}, wanted)
	if err != nil {
		t.Fatal(err)
	}
	want := []debian.File{{Source: filepath.Join(b, "lib/firmware/two-1.0.bin"), Target: "usr/lib/firmware/two.bin"},
		{Source: filepath.Join(a, "lib/firmware/x/one.bin"), Target: "usr/lib/firmware/x/one.bin"}}
	if !reflect.DeepEqual(files, want) {
		t.Errorf("got %v, want %v", files, want)
	}
	if want := []string{"none.bin", "out.bin", "up.bin"}; !reflect.DeepEqual(missing, want) {
		t.Errorf("missing %q, want %q: a link to a file of the machine that builds is none", missing, want)
	}
	if _, _, err := firmwareFiles([]string{a}, map[string][]string{"../../../outside.bin": {"m"}}); err == nil {
		t.Error("a name that leaves the folder is taken")
	}
}

// TestMicrocodeComesFirst: the kernel finds it only at the beginning of the initramfs, uncompressed, under its name.
func TestMicrocodeComesFirst(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{"06-8f-08": "second", "06-55-04": "first ", "06-55-04.initramfs": "no", "README": "no"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	intel := microcodes[1]
	data, err := joined(dir, intel.match)
	if err != nil || string(data) != "first second" {
		t.Fatalf("got %q, %v", data, err)
	}
	raw, err := microcode(map[string][]byte{intel.name: data})
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.HasPrefix(raw, []byte("070701")) || !bytes.Contains(raw, []byte("kernel/x86/microcode/GenuineIntel.bin\x00")) ||
		!bytes.Contains(raw, data) || len(raw)%512 != 0 {
		t.Errorf("it is no cpio with the file in it, of whole blocks: %d bytes, %.120q", len(raw), raw)
	}
	if _, err := joined(dir, regexp.MustCompile("^none$")); err == nil {
		t.Error("a package without microcode is taken")
	}
}

func TestBudgetWithFirmware(t *testing.T) {
	with := Firmware{Microcode: []Part{{}}}
	for _, c := range []struct {
		target Target
		fw     Firmware
		mib    int
	}{{VM, Firmware{}, 48}, {Metal, Firmware{}, 96}, {Metal, with, 140}} {
		if got := c.target.most(c.fw); got != c.mib<<20 {
			t.Errorf("%s: %d, want %d MiB", c.target.Folder, got, c.mib)
		}
	}
}

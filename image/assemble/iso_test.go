package assemble

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// TestTheSameTreeGivesTheSameISO: neither a file's time nor a directory's, nor the path and the time zone, is in an ISO.
func TestTheSameTreeGivesTheSameISO(t *testing.T) {
	if _, err := exec.LookPath("xorriso"); err != nil {
		t.Skip(err)
	}
	var images [2][]byte
	for i, zone := range []string{"UTC", "Pacific/Kiritimati"} {
		t.Setenv("TZ", zone)
		dir := t.TempDir()
		tree, mbr, out := filepath.Join(dir, "tree"), filepath.Join(dir, "mbr"), filepath.Join(dir, "x.iso")
		for path, size := range map[string]int{mbr: 432, filepath.Join(tree, "isolinux/isolinux.bin"): 24 << 10,
			filepath.Join(tree, esp): 1 << 20} {
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, bytes.Repeat([]byte{1}, size), 0o444); err != nil {
				t.Fatal(err)
			}
		}
		at := time.Date(2001+i, 2, 3, 4, 5, 6, 0, time.UTC)
		for _, path := range []string{filepath.Join(tree, "isolinux/isolinux.bin"), filepath.Join(tree, "isolinux"), tree} {
			if err := os.Chtimes(path, at, at); err != nil {
				t.Fatal(err)
			}
		}
		if err := makeISO(t.Context(), out, tree, mbr, "1790000000"); err != nil {
			t.Fatal(err)
		}
		var err error
		if images[i], err = os.ReadFile(out); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(images[0], images[1]) {
		t.Error("two ISOs of one tree differ")
	}
}

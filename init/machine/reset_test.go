package machine

import (
	"os"
	"path/filepath"
	"testing"
)

// TestEmpty: what a host was goes, the wish and the record of its systems stay.
func TestEmpty(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"identity/key.json", "desired/work.json", "clock", "network.json", "slots.json", "reset"} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := empty(dir); err != nil {
		t.Fatal(err)
	}
	left, err := os.ReadDir(dir)
	if err != nil || len(left) != 2 || left[0].Name() != "reset" || left[1].Name() != "slots.json" {
		t.Errorf("left: %v, %v", left, err)
	}
}

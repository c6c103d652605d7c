package disk

import (
	"os"
	"path/filepath"
	"testing"

	"hardnode.dev/internal/disk/luks"
)

// TestEncrypted: an encrypted STATE is known by the label of its header, also when the first copy is damaged.
func TestEncrypted(t *testing.T) {
	path := filepath.Join(t.TempDir(), "partition")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := f.Truncate(32 << 20); err != nil {
		t.Fatal(err)
	}
	if is, err := Encrypted(path); is || err != nil {
		t.Errorf("an empty partition: %v, %v", is, err)
	}
	if _, _, err := luks.Format(f, StateLabel); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if is, err := Encrypted(path); !is || err != nil {
			t.Errorf("an encrypted one: %v, %v", is, err)
		}
		if got := superblock(path).label; got != StateLabel {
			t.Errorf("its label is %q", got)
		}
		if _, err := f.WriteAt([]byte("damage"), 0); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := Encrypted(filepath.Join(t.TempDir(), "none")); err == nil {
		t.Error("a partition that is not there can be told")
	}
}

package slots

import (
	"maps"
	"os"
	"path/filepath"
	"testing"

	"hardnode.dev/agent/partition"
)

// An ESP is made like another one, whatever it has.
func TestCarry(t *testing.T) {
	from, to := t.TempDir(), t.TempDir()
	put := func(dir, name, text string) {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := partition.Write(path, text); err != nil {
			t.Fatal(err)
		}
	}
	put(from, "EFI/hardnode/a.efi", "a")
	put(from, "EFI/BOOT/BOOTX64.EFI", "loader")
	put(from, "loader/entries/hardnode-1-a+1.conf", "entry of a")
	put(to, "loader/entries/hardnode-1-a+0-1.conf", "entry of a")
	put(to, "EFI/hardnode/a.efi", "an older one")
	put(to, "EFI/hardnode/b.efi.new", "cut o")
	want, err := contents(from, true)
	if err != nil {
		t.Fatal(err)
	}
	have, err := contents(to, true)
	if err != nil {
		t.Fatal(err)
	}
	remove, write, after := differs(want, have)
	if err := carry(from, to, remove, write, after); err != nil {
		t.Fatal(err)
	}
	if have, err = contents(to, true); err != nil || !maps.Equal(have, want) {
		t.Errorf("it holds %v, %v; want %v", have, err, want)
	}
	if have, err = contents(to, false); err != nil || len(have) != 1 {
		t.Errorf("entries: %v, %v", have, err)
	}
	if have, err = contents(t.TempDir(), false); err != nil || len(have) != 0 {
		t.Errorf("an empty ESP: %v, %v", have, err)
	}
}

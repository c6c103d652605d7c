package install

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"hardnode.dev/internal/disk/layout"
	"hardnode.dev/internal/disk/pick"
)

// Whatever two disks are called in a boot, they have the same entries: a rescue system comes when neither disk has another one to boot.
func TestBootEntries(t *testing.T) {
	var disks []string
	for _, name := range []string{"a", "b"} {
		path := filepath.Join(t.TempDir(), name)
		f, err := os.Create(path)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		id, err := layout.NewGUID()
		if err != nil {
			t.Fatal(err)
		}
		if err := f.Truncate(pick.Least); err != nil {
			t.Fatal(err)
		}
		if _, err := layout.Partition(f, pick.Least, pick.Layout(pick.Least), id); err != nil {
			t.Fatal(err)
		}
		disks = append(disks, path)
	}
	one, err := BootEntries(disks...)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range one {
		names = append(names, e.Name)
	}
	if want := []string{"Hardnode", "Hardnode, again", "Hardnode, disk 2", "Hardnode, disk 2, again", "Hardnode, rescue",
		"Hardnode, rescue, disk 2"}; !slices.Equal(names, want) {
		t.Errorf("entries %q, want %q", names, want)
	}
	slices.Reverse(disks)
	other, err := BootEntries(disks...)
	if err != nil || !slices.Equal(one, other) {
		t.Errorf("under other names: %+v, %v; before %+v", other, err, one)
	}
	if list, err := BootEntries(disks[0]); err != nil || len(list) != 3 {
		t.Errorf("of one disk: %+v, %v", list, err)
	}
}

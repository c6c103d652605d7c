package rootfs

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"hardnode.dev/agent/sys"
	"hardnode.dev/internal/wire/host"
)

func TestRunDirs(t *testing.T) {
	root := t.TempDir()
	for _, d := range []string{"run/lock/sub/deep", "run/hardnode", "run/postgresql"} {
		if err := os.MkdirAll(filepath.Join(root, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	os.Symlink("/etc", filepath.Join(root, "run/link"))
	d, err := sys.OpenDir(root)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	var got []string
	for _, r := range RunDirs(d, host.Image{}.Has) {
		got = append(got, fmt.Sprintf("%s %o", r.Path, r.Mode))
	}
	slices.Sort(got)
	if want := []string{"lock 755", "lock/sub 755", "postgresql 755"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	os.RemoveAll(filepath.Join(root, "run"))
	os.Symlink("/etc", filepath.Join(root, "run"))
	if got := RunDirs(d, host.Image{}.Has); len(got) != 0 {
		t.Errorf("/run that is a link gave %+v", got)
	}
}

//go:build qemu

package update

import (
	"os"
	"path/filepath"
	"testing"

	"hardnode.dev/qemu-tests/cluster"
	"hardnode.dev/qemu-tests/harness"
)

// TestPrograms takes the programs out of the system that is built.
func TestPrograms(t *testing.T) {
	if os.Getenv("HARDNODE_SOAK") == "" {
		t.Skip("HARDNODE_SOAK is not set: `make soak PKG=./qemu-tests/update RUN=TestPrograms` does it; a hot update does it too")
	}
	root, err := harness.Root()
	if err != nil {
		t.Fatal(err)
	}
	if err := cluster.Make(t.Context(), root, "image", t.Logf); err != nil {
		t.Fatal(err)
	}
	harness.RunGuestTest(t, harness.GuestTest{Package: "./agent/programs", Run: "TestUnpack", DiskMiB: 512,
		Files: map[string]string{"/uki": filepath.Join(root, "out/image/host.efi")}})
}

//go:build qemu

package system

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"hardnode.dev/qemu-tests/harness"
)

// TestOpenRC boots Debian with OpenRC in the place of systemd, below SysV's init and below OpenRC's own.
func TestOpenRC(t *testing.T) {
	if os.Getenv("HARDNODE_SOAK") == "" {
		t.Skip("HARDNODE_SOAK is not set: `make soak PKG=./qemu-tests/system RUN=TestOpenRC` does it")
	}
	image := debian(t, "openrc.erofs", debian12, "openrc,sysvinit-core,cron,procps")
	for _, init := range []string{"sysvinit", "openrc-init"} {
		t.Run(init, func(t *testing.T) {
			dir := t.TempDir()
			harness.RunGuestTest(t, harness.GuestTest{Package: "./agent/container", Run: "^TestOpenRC$/^" + init + "$", DiskMiB: 1024,
				MemMiB: 1536, Timeout: 60 * time.Minute, Files: map[string]string{
					"/usr/lib/hardnode/spawner": harness.Build(t, "./agent/spawner", filepath.Join(dir, "spawner")),
					"/usr/lib/hardnode/jem":     harness.Build(t, "./agent/jem", filepath.Join(dir, "jem")),
					"/images/openrc.erofs":      image,
					"/images/box.erofs":         image,
				}})
		})
	}
}

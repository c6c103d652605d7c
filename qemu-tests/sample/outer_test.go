//go:build qemu

package sample

import (
	"testing"

	"hardnode.dev/qemu-tests/harness"
)

func TestSample(t *testing.T) {
	harness.RunGuestTest(t, harness.GuestTest{Package: "./qemu-tests/sample", DiskMiB: 512})
}

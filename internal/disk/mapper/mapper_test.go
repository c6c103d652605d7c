package mapper

import (
	"os"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// TestForms: the kernel's forms have these sizes (linux/dm-ioctl.h), and the size of a call stands in its number.
func TestForms(t *testing.T) {
	if h, r := unsafe.Sizeof(head{}), unsafe.Sizeof(target{}); h != 312 || r != 40 || call>>16&0x3fff != 312 {
		t.Errorf("dm_ioctl has %d bytes, dm_target_spec %d; the call says %d", h, r, call>>16&0x3fff)
	}
}

func TestNoMapper(t *testing.T) {
	if _, err := os.Stat(control); err == nil {
		t.Skip("this machine has a device mapper")
	}
	if _, err := Crypt("x", "/dev/null", 0, 512, make([]byte, 64)); err == nil {
		t.Error("a device was made without a device mapper")
	}
	if err := Close("x"); err == nil || err == unix.ENXIO {
		t.Errorf("got %v", err)
	}
}

// Package zram makes disks of compressed memory, and swap on them (Linux, Documentation/admin-guide/blockdev/zram.rst).
//
// Owns: the settings of such a disk, and the head of swap on it (include/linux/swap.h).
// In: sizes in bytes; the kernel's module zram, loaded with num_devices=0.
// Out: a device; swap that is in use.
// Never: takes a device that is there already, or gives one back: they last as long as the host runs.
package zram

import (
	"encoding/binary"
	"fmt"
	"os"
	"strconv"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// New makes a disk that holds up to so many bytes in memory of at most most bytes, and returns its device.
func New(bytes, most int64) (device string, err error) {
	n, err := os.ReadFile("/sys/class/zram-control/hot_add") // to read it is to add one
	if err != nil {
		return "", fmt.Errorf("make a disk of compressed memory: %v", err)
	}
	name := "zram" + strings.TrimSpace(string(n))
	for _, w := range []struct{ file, value string }{
		{"comp_algorithm", "zstd"},
		{"disksize", strconv.FormatInt(bytes, 10)},
		{"mem_limit", strconv.FormatInt(most, 10)},
	} {
		if err := os.WriteFile("/sys/block/"+name+"/"+w.file, []byte(w.value), 0); err != nil {
			return "", fmt.Errorf("make a disk of compressed memory: %v", err)
		}
	}
	return "/dev/" + name, nil
}

// Swap lets the kernel swap to a new disk of that kind; sizes as New has them.
func Swap(bytes, most int64) (device string, err error) {
	page := int64(os.Getpagesize())
	bytes -= bytes % page
	if device, err = New(bytes, most); err != nil {
		return "", err
	}
	f, err := os.OpenFile(device, os.O_WRONLY, 0)
	if err != nil {
		return "", fmt.Errorf("make swap: %v", err)
	}
	_, err = f.Write(head(int(page), bytes/page))
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return "", fmt.Errorf("make swap on %q: %v", device, err)
	}
	path, err := unix.BytePtrFromString(device)
	if err != nil {
		return "", fmt.Errorf("use swap %q: %v", device, err)
	}
	if _, _, errno := unix.Syscall(unix.SYS_SWAPON, uintptr(unsafe.Pointer(path)), 0, 0); errno != 0 {
		return "", fmt.Errorf("use swap %q: %v", device, errno)
	}
	return device, nil
}

// head is the first page of swap that has so many pages, without a bad one.
func head(page int, pages int64) []byte {
	const version, magic = 1, "SWAPSPACE2"
	b := make([]byte, page)
	binary.NativeEndian.PutUint32(b[1024:], version)
	binary.NativeEndian.PutUint32(b[1028:], uint32(pages-1)) // the last one
	copy(b[page-len(magic):], magic)
	return b
}

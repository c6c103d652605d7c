// Package mapper makes and ends encrypted block devices, by the kernel's device mapper.
//
// Owns: the calls of /dev/mapper/control; the table of dm-crypt.
// In: a device whose data lie encrypted behind an offset, their key; a name.
// Out: the path of a device that has them in the clear.
// Never: knows where a key comes from, or what is on a device.
//
// Sources: the kernel's linux/dm-ioctl.h; admin-guide/device-mapper/dm-crypt.rst.
package mapper

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

const control = "/dev/mapper/control"

// The calls: _IOWR(0xfd, n, struct dm_ioctl).
const (
	call    = 0xc138fd00
	create  = call | 3
	remove  = call | 4
	suspend = call | 6 // without a flag: resume
	load    = call | 9
)

const (
	secure = 1 << 15 // the kernel wipes its copy of the call
	room   = 4096    // bytes of a call
	sector = 512
)

// head is struct dm_ioctl.
type head struct {
	Version              [3]uint32
	Size, Start, Targets uint32
	Open                 int32
	Flags, Event, _      uint32
	Device               uint64
	Name                 [128]byte
	UUID                 [129]byte
	_                    [7]byte
}

// target is struct dm_target_spec; its parameters follow.
type target struct {
	Start, Sectors uint64
	Status         int32
	Next           uint32
	Type           [16]byte
}

// Crypt makes a device of what lies encrypted (aes-xts-plain64, sectors of 512 bytes) on another one from byte offset on, and returns its
// path. bytes is its size without the offset.
func Crypt(name, device string, offset, bytes int64, key []byte) (path string, err error) {
	made, err := ask(create, name, nil)
	if err != nil {
		return "", fmt.Errorf("make device %q: %w", name, err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, Close(name))
		}
	}()
	table := fmt.Appendf(nil, "aes-xts-plain64 %x 0 %s %d", key, device, offset/sector)
	defer clear(table)
	only := row{target{Sectors: uint64(bytes / sector)}, table}
	copy(only.Type[:], "crypt")
	if _, err := ask(load, name, &only); err != nil {
		return "", fmt.Errorf("decrypt %s as device %q: %w", device, name, err)
	}
	if _, err := ask(suspend, name, nil); err != nil {
		return "", fmt.Errorf("start device %q: %w", name, err)
	}
	return fmt.Sprintf("/dev/dm-%d", unix.Minor(made.Device)), nil
}

// Close ends a device that nobody uses.
func Close(name string) error {
	if _, err := ask(remove, name, nil); err != nil && !errors.Is(err, unix.ENXIO) {
		return fmt.Errorf("end device %q: %w", name, err)
	}
	return nil
}

// row is a line of a table.
type row struct {
	target
	parameters []byte
}

func ask(what uint, name string, r *row) (h head, err error) {
	f, err := os.OpenFile(control, os.O_RDWR, 0)
	if err != nil {
		return h, err
	}
	defer f.Close()
	h = head{Version: [3]uint32{4, 0, 0}, Size: room, Start: uint32(unsafe.Sizeof(h)), Flags: secure}
	copy(h.Name[:len(h.Name)-1], name)
	var b bytes.Buffer
	if r != nil {
		h.Targets = 1
	}
	if err := binary.Write(&b, binary.NativeEndian, h); err != nil {
		return h, err
	}
	if r != nil {
		if err := binary.Write(&b, binary.NativeEndian, r.target); err != nil {
			return h, err
		}
		b.Write(r.parameters)
	}
	raw := make([]byte, room)
	defer clear(raw)
	defer clear(b.Bytes())
	if copy(raw, b.Bytes()) != b.Len() || b.Len() == room {
		return h, unix.E2BIG
	}
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, f.Fd(), uintptr(what), uintptr(unsafe.Pointer(&raw[0]))); errno != 0 {
		return h, errno
	}
	return h, binary.Read(bytes.NewReader(raw), binary.NativeEndian, &h)
}

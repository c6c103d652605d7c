package view

import (
	"encoding/binary"
	"testing"

	"golang.org/x/sys/unix"
)

func TestNumberOf(t *testing.T) {
	const mounts = "30 1 0:26 / / rw shared:1 - ext4 /dev/x rw\n" +
		"31 30 0:44 / /run/hardnode/view ro,nosuid shared:9 - fuse procview ro\n" +
		"32 31 0:51 / /run/hardnode/view ro,nosuid shared:9 - fuse procview ro\n" +
		"short\n33 30 0:77 / /run/hardnode/view2 ro - fuse x ro\n"
	if n, err := numberOf(mounts, "/run/hardnode/view"); n != 51 || err != nil {
		t.Errorf("number %d, %v; want that of the mount on top, 51", n, err)
	}
	if _, err := numberOf(mounts, "/run"); err == nil {
		t.Error("what is no mount has a number")
	}
	if _, err := numberOf("31 30 x:y / /a ro", "/a"); err == nil {
		t.Error("a line without a number has one")
	}
}

func request(opcode uint32, unique uint64) []byte {
	b := make([]byte, headerSize)
	binary.NativeEndian.PutUint32(b, headerSize)
	binary.NativeEndian.PutUint32(b[4:], opcode)
	binary.NativeEndian.PutUint64(b[8:], unique)
	return b
}

func TestRefusal(t *testing.T) {
	for _, op := range []uint32{1, 3, 14, 15, 18, 28, 999} {
		r := refusal(request(op, 1<<63|7))
		if len(r) != replySize || binary.NativeEndian.Uint32(r) != replySize ||
			int32(binary.NativeEndian.Uint32(r[4:])) != -int32(unix.EIO) || binary.NativeEndian.Uint64(r[8:]) != 1<<63|7 {
			t.Errorf("operation %d: %x", op, r)
		}
	}
	for _, op := range []uint32{opForget, opForgets, opInterrupt} {
		if r := refusal(request(op, 7)); r != nil {
			t.Errorf("operation %d is answered, and nobody waits for it: %x", op, r)
		}
	}
	if refusal(nil) != nil || refusal(make([]byte, 39)) != nil {
		t.Error("a part of a request is answered")
	}
}

func TestHello(t *testing.T) {
	b := hello(request(opInit, 2))
	if len(b) != 80 || binary.NativeEndian.Uint32(b) != 80 || binary.NativeEndian.Uint64(b[8:]) != 2 ||
		binary.NativeEndian.Uint32(b[16:]) != 7 || binary.NativeEndian.Uint32(b[36:]) != maxRead ||
		binary.NativeEndian.Uint16(b[44:]) != 8 {
		t.Errorf("%x", b)
	}
}

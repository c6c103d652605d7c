package pump

import (
	"encoding/binary"

	"golang.org/x/sys/unix"

	"hardnode.dev/agent/mount/message"
)

// What is agreed with the kernel (FUSE_INIT's flags).
const (
	asyncRead    = 1 << 0
	bigWrites    = 1 << 5
	autoInval    = 1 << 12 // pages are dropped when the file's time or size has changed
	readDirPlus  = 1 << 13
	readDirAuto  = 1 << 14
	parallelDirs = 1 << 18
	maxPages     = 1 << 22
	noOpenDir    = 1 << 24
	more         = 1 << 30 // there is a second word of flags
	resend       = 1 << 39
	idMaps       = 1 << 40
	wanted       = uint64(asyncRead | bigWrites | autoInval | readDirPlus | readDirAuto | parallelDirs | maxPages | noOpenDir | more |
		resend | idMaps)
)

const pageSize = 4096

// agree is the answer to the kernel's first request (struct fuse_init_out).
func agree(r message.Request) []byte {
	le := binary.LittleEndian
	if len(r.Body) < 20 || le.Uint32(r.Body) != message.Major || le.Uint32(r.Body[4:]) < message.Minor {
		return message.Answer(r.Unique, unix.EPROTO, nil)
	}
	flags := (uint64(le.Uint32(r.Body[12:])) | uint64(le.Uint32(r.Body[16:]))<<32) & wanted
	b := make([]byte, 0, 64)
	for _, v := range []uint32{message.Major, message.Minor, message.MaxData, uint32(flags), // the third: how far a reader is led on
		24<<16 | 32, message.MaxData, 1, message.MaxData / pageSize, uint32(flags >> 32)} { // in the background 32, 24 are many
		b = le.AppendUint32(b, v)
	}
	return message.Answer(r.Unique, 0, b[:64])
}

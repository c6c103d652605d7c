package message

import (
	"encoding/binary"

	"golang.org/x/sys/unix"
)

// Remembered is how many seconds the mounting kernel believes names and attributes without asking.
const Remembered = 1

// AppendAttr adds what stat(2) says of a file (struct fuse_attr).
func AppendAttr(b []byte, node uint64, st *unix.Stat_t) []byte {
	le := binary.LittleEndian
	for _, v := range []uint64{node, uint64(st.Size), uint64(st.Blocks), uint64(st.Atim.Sec), uint64(st.Mtim.Sec), uint64(st.Ctim.Sec)} {
		b = le.AppendUint64(b, v)
	}
	for _, v := range []uint32{uint32(st.Atim.Nsec), uint32(st.Mtim.Nsec), uint32(st.Ctim.Nsec), st.Mode, uint32(st.Nlink), st.Uid, st.Gid,
		0, uint32(st.Blksize), 0} { // the eighth would be a device's number: nobody has one here
		b = le.AppendUint32(b, v)
	}
	return b
}

// AppendEntry adds what is said of a name (struct fuse_entry_out).
func AppendEntry(b []byte, node uint64, st *unix.Stat_t) []byte {
	le := binary.LittleEndian
	for _, v := range []uint64{node, 0, Remembered, Remembered, 0} { // number, generation, and how long the two are good for
		b = le.AppendUint64(b, v)
	}
	return AppendAttr(b, node, st)
}

// AppendAttrOut adds the answer to GetAttr and SetAttr (struct fuse_attr_out).
func AppendAttrOut(b []byte, node uint64, st *unix.Stat_t) []byte {
	b = binary.LittleEndian.AppendUint64(b, Remembered)
	return AppendAttr(binary.LittleEndian.AppendUint64(b, 0), node, st)
}

// AppendOpen adds the answer to Open (struct fuse_open_out).
func AppendOpen(b []byte, handle uint64) []byte {
	b = binary.LittleEndian.AppendUint64(b, handle)
	return binary.LittleEndian.AppendUint64(b, 0)
}

// AppendName adds an entry of a listing (struct fuse_dirent); next is where the listing goes on behind it.
func AppendName(b []byte, node, next uint64, kind uint8, name string) []byte {
	b = binary.LittleEndian.AppendUint64(b, node)
	b = binary.LittleEndian.AppendUint64(b, next)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(name)))
	b = binary.LittleEndian.AppendUint32(b, uint32(kind))
	b = append(b, name...)
	return append(b, make([]byte, NameSize(name)-24-len(name))...)
}

// NameSize is what AppendName adds.
func NameSize(name string) int { return 24 + (len(name)+7)&^7 }

// EntrySize is what AppendEntry adds.
const EntrySize = 128

package sys

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
)

// kernelBTF is the kernel's description of its own types and functions.
const kernelBTF = "/sys/kernel/btf/vmlinux"

// btfHeader is struct btf_header (linux/btf.h).
type btfHeader struct {
	Magic                                    uint16
	Version, Flags                           uint8
	HdrLen, TypeOff, TypeLen, StrOff, StrLen uint32
}

const (
	btfMagic    = 0xeb9f
	btfKindFunc = 12
	btfTypeSize = 12 // struct btf_type: name_off, info, size or type
)

// btfTail is what follows a struct btf_type, by kind (Documentation/bpf/btf.rst, "Type Encoding"): bytes, and bytes for each of its vlen
// members.
var btfTail = [20]struct{ fixed, member int }{
	1: {fixed: 4}, 3: {fixed: 12}, 4: {member: 12}, 5: {member: 12}, 6: {member: 8}, 13: {member: 8}, 14: {fixed: 4}, 15: {member: 12},
	17: {fixed: 4}, 19: {member: 12},
}

// functionIDs finds the numbers of functions in BTF, in the order of their names. It reads in pieces and keeps nothing: as a value, the
// kernel's description takes 15 MiB.
func functionIDs(r io.ReaderAt, names ...string) ([]uint32, error) {
	var h btfHeader
	if err := binary.Read(io.NewSectionReader(r, 0, 24), binary.LittleEndian, &h); err != nil {
		return nil, fmt.Errorf("read header: %w", err)
	}
	if h.Magic != btfMagic {
		return nil, fmt.Errorf("its first bytes are %#x, want %#x", h.Magic, btfMagic)
	}
	offsets, err := stringOffsets(io.NewSectionReader(r, int64(h.HdrLen)+int64(h.StrOff), int64(h.StrLen)), names)
	if err != nil {
		return nil, err
	}
	ids := make([]uint32, len(names))
	types := bufio.NewReaderSize(io.NewSectionReader(r, int64(h.HdrLen)+int64(h.TypeOff), int64(h.TypeLen)), 16<<10)
	for id := uint32(1); ; id++ {
		var t [btfTypeSize]byte
		if _, err := io.ReadFull(types, t[:]); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return nil, fmt.Errorf("read type %d: %w", id, err)
		}
		info := binary.LittleEndian.Uint32(t[4:])
		kind, members := int(info>>24&0x1f), int(info&0xffff)
		if kind >= len(btfTail) {
			return nil, fmt.Errorf("type %d is of kind %d, which is not known", id, kind)
		}
		if i := slices.Index(offsets, binary.LittleEndian.Uint32(t[:])); i >= 0 && kind == btfKindFunc {
			if ids[i] = id; !slices.Contains(ids, 0) {
				return ids, nil
			}
		}
		if _, err := types.Discard(btfTail[kind].fixed + members*btfTail[kind].member); err != nil {
			return nil, fmt.Errorf("read type %d: %w", id, err)
		}
	}
	return nil, fmt.Errorf("%s is no function in it", names[slices.Index(ids, 0)])
}

// stringOffsets finds where names begin in a string section: each string of it is there once and ends with a zero byte.
func stringOffsets(section io.Reader, names []string) ([]uint32, error) {
	offsets := make([]uint32, len(names))
	list := bufio.NewReaderSize(section, 16<<10)
	for at := 0; ; {
		s, err := list.ReadSlice(0)
		if errors.Is(err, io.EOF) && len(s) == 0 {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("read name at %d: %w", at, err)
		}
		if i := slices.Index(names, string(s[:len(s)-1])); i >= 0 {
			if offsets[i] = uint32(at); !slices.Contains(offsets, 0) {
				return offsets, nil
			}
		}
		at += len(s)
	}
	return nil, fmt.Errorf("%s is not named in it", names[slices.Index(offsets, 0)])
}
